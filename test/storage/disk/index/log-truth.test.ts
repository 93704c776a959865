import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { apply } from '../../../../src/core/apply.ts';
import { digestOf } from '../../../../src/core/encoding/digest.ts';
import { NamespaceState } from '../../../../src/core/namespace-state.ts';
import type { Update } from '../../../../src/core/update.ts';
import { nodeFiles } from '../../../../src/storage/disk/files.ts';
import { LogTruth } from '../../../../src/storage/disk/index/log-truth.ts';
import { closed } from '../../../../src/storage/log-errors.ts';
import { summaryOf } from '../../../../src/storage/state-source.ts';
import { aStep, Cache, NAMESPACES } from '../../../support/log.ts';
import { fcOptions } from '../../../support/property.ts';

/** Base and log of these updates, and the number of times that the log was read from its start. */
function truthOf(updates: readonly Update[], foldBytes?: number) {
  const reads = { count: 0, isClosed: false };
  const truth = new LogTruth(
    nodeFiles,
    {
      ...{ id: 'log', path: '/none' },
      names: () => {
        if (reads.isClosed) throw closed();
        return { base: 0, firsts: [1] };
      },
      recent: (from, to) => {
        if (from === 1) reads.count += 1;
        return updates.slice(from - 1, to);
      },
    },
    foldBytes,
  );
  return { truth, reads };
}

const set = (namespace: string, key: string, value: string) => ({
  ...{ namespace, key, value, expiresAt: null, kind: 'set' as const },
});

/** Many namespaces of 20 entries, whose updates lie between each other. */
function manyNamespaces(count: number): Update[] {
  const cache = new Cache(1);
  const steps = Array.from({ length: 20 * count }, (_, i) => set(`n${i % count}`, `k${Math.floor(i / count)}`, 'v'));
  return cache.takeAll(steps) as Update[];
}

describe('base and log, from which is read what the index cannot answer', () => {
  it('are read once for a listing of all namespaces and their entries', () => {
    const updates = manyNamespaces(200);
    const { truth, reads } = truthOf(updates);
    for (const name of truth.names(updates.length)) {
      expect(truth.summaryAt(name, updates.length)?.count).toBe(20);
      expect(truth.sharedAt(name, updates.length)?.entries.get('k3')?.value).toBe('v');
      expect(truth.stateAt(name, updates.length)?.entries.size).toBe(20);
      expect(truth.lastChange(name, updates.length)).toBe(
        updates.findLast((each) => each.namespace === name)?.position,
      );
    }
    expect(truth.summaryAt('none', updates.length)).toBeUndefined();
    expect(truth.lastChange('none', updates.length)).toBe(0);
    expect(reads.count).toBe(1);
  });

  it('are read a few times if the state is larger than what is kept of it', () => {
    const updates = manyNamespaces(200);
    const bytes = updates.reduce((sum, each) => sum + each.bytes, 0);
    const { truth, reads } = truthOf(updates, bytes / 10);
    for (let round = 1; round <= 2; round += 1) {
      for (let i = 0; i < 200; i += 1) expect(truth.stateAt(`n${i}`, updates.length)?.version).toBe(20);
      expect(reads.count).toBeGreaterThan(round);
      expect(reads.count).toBeLessThan(20 * round);
    }
    const before = reads.count;
    for (let i = 0; i < 200; i += 1) expect(truth.summaryAt(`n${i}`, updates.length)?.version).toBe(20);
    expect(reads.count).toBe(before);
  });

  it('show what was written, at every position and however little is kept', () => {
    const position = fc.nat(40);
    const property = fc.property(
      fc.array(aStep(4), { minLength: 1, maxLength: 40 }),
      fc.array(fc.tuple(fc.constantFrom(...NAMESPACES, 'none'), position, fc.nat(2)), { maxLength: 12 }),
      fc.constantFrom(1, 700, 2_000, 100_000),
      (steps, reads, foldBytes) => {
        const updates = new Cache(3).takeAll(steps) as Update[];
        const { truth } = truthOf(updates, foldBytes);
        for (const [name, at, how] of reads) {
          const to = Math.min(at, updates.length);
          const due = new Map<string, NamespaceState>();
          for (const update of updates.slice(0, to)) {
            const state = due.get(update.namespace) ?? new NamespaceState(update.namespace);
            apply(state, update);
            if (update.drop) due.delete(update.namespace);
            else due.set(update.namespace, state);
          }
          const state = due.get(name);
          expect([...truth.names(to)].sort()).toEqual([...due.keys()].sort());
          if (how === 0) expect(truth.summaryAt(name, to)).toEqual(summaryOf(state));
          const found = how === 1 ? truth.sharedAt(name, to) : truth.stateAt(name, to);
          expect(found && digestOf(found)).toBe(state && digestOf(state));
          // The caller owns it.
          if (how === 2) found?.clear();
          const last = updates.slice(0, to).findLast(({ namespace }) => namespace === name)?.position ?? 0;
          expect(truth.lastChange(name, to)).toBe(last);
        }
      },
    );
    fc.assert(property, fcOptions(200));
  });

  it('concern the readers of a namespace alone if its updates do not follow each other', () => {
    const updates = manyNamespaces(3).map((update) =>
      update.namespace === 'n1' && update.version === 2 ? { ...update, version: 7 } : update,
    );
    const { truth } = truthOf(updates);
    expect(truth.stateAt('n0', updates.length)?.version).toBe(20);
    expect(() => truth.stateAt('n1', updates.length)).toThrow(/has version 7/);
    expect(() => truth.summaryAt('n1', updates.length)).toThrow(/has version 7/);
    expect(truth.summaryAt('n2', updates.length)?.version).toBe(20);
  });

  it('are not read any more once the log is closed, also what is kept of them', () => {
    const { truth, reads } = truthOf(manyNamespaces(3));
    expect(truth.summaryAt('n0', 60)?.version).toBe(20);
    reads.isClosed = true;
    for (const read of ['summaryAt', 'stateAt', 'sharedAt', 'lastChange'] as const) {
      expect(() => truth[read]('n0', 60)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
    }
  });

  it('are read again once nothing was read for two batches of the index', () => {
    const updates = manyNamespaces(3);
    const { truth, reads } = truthOf(updates);
    const read = () => truth.summaryAt('n0', updates.length);
    read();
    truth.release();
    read();
    expect(reads.count).toBe(1);
    truth.release();
    truth.release();
    read();
    expect(reads.count).toBe(2);
  });
});
