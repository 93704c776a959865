// Parts of the inside that processes of tests use. Built with the package, so that both have the same classes.
export { systemClock } from '../../src/core/clock.ts';
export { createUpdate } from '../../src/core/update.ts';
export { INTERNALS } from '../../src/engine/internals.ts';
export { DataDirectory } from '../../src/storage/disk/data-directory.ts';
export { nodeFiles } from '../../src/storage/disk/files.ts';
export { openLevel } from '../../src/storage/disk/index/leveldb/level-storage.ts';
