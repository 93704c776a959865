import { tempDir } from './temp-dir.ts';

/** Where a parent may be. */
export const durableKinds = [
  { kind: 'in memory', dataDir: async () => undefined },
  { kind: 'in a directory', dataDir: () => tempDir('parent') },
];
