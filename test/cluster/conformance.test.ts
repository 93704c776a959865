import { describe, expect, test } from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { cacheSuite } from '../../src/testing/cache-suite.ts';
import { openCluster } from '../support/cluster.ts';

describe('a node of a cluster of three', () =>
  cacheSuite({
    test,
    visible: 'when resolved',
    async open() {
      const cluster = await openCluster(3, { backup: { store: new MemorySnapshotStore(), enabled: false } });
      const [cache] = cluster.nodes;
      if (cache === undefined) throw new Error('The cluster has no nodes.');
      const dispose = async () => {
        // Whatever the test did on one node, all have come to it.
        await cluster.settle();
        const digests = await Promise.all(cluster.nodes.map((node) => node.digest()));
        expect(new Set(digests).size).toBe(1);
        expect(new Set(cluster.nodes.map(({ position }) => position)).size).toBe(1);
        expect(new Set(cluster.nodes.map((node) => node.health().cluster?.hash)).size).toBe(1);
        await cluster.close();
      };
      return { cache, dispose };
    },
  }));
