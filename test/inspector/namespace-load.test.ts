import { expect, test } from 'vitest';
import type { NamespaceInfo } from '../../src/engine/inspection.ts';
import { NamespaceList } from '../../src/inspector/reads/namespace-index.ts';
import { SortedNames } from '../../src/inspector/reads/sorted-names.ts';

test('a namespace that begins above a high version after a drop has the load of its updates', () => {
  const infos = (version: number) => {
    const info = { name: 'n', version, keys: 1, bytes: 1, status: 'resident', crashes: 0 };
    return new Map([['n', info as NamespaceInfo]]);
  };
  const list = (position: number, before: Map<string, NamespaceInfo>) =>
    new NamespaceList(
      new SortedNames(['n']),
      infos(1_000_001),
      { at: 2_000, position },
      { infos: before, at: 1_000, position: 10 },
    );
  const load = (position: number, before: Map<string, NamespaceInfo>) =>
    list(position, before).load(infos(1_000_001).get('n') as NamespaceInfo);
  expect(load(11, new Map())).toBe(1);
  expect(load(30, infos(999_991))).toBe(10);
});
