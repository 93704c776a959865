import { tempDir } from './temp-dir.ts';

/** Storage that a parent may have. */
export const durableKinds = [
  { kind: 'in memory', dataDir: async () => undefined },
  { kind: 'in a directory', dataDir: () => tempDir('parent') },
];
