import { closeSync, constants, fstatSync, fsyncSync, lstatSync, openSync, rmSync, writeFileSync } from 'node:fs';

/** Overwrites and removes a file with keys. Does nothing if it is missing. A link is removed, never followed. */
export function wipe(path: string): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (stats.isFile()) {
    const file = openSync(path, constants.O_RDWR | (constants.O_NOFOLLOW ?? 0));
    try {
      overwrite(file);
    } finally {
      closeSync(file);
    }
  }
  rmSync(path, { force: true });
}

/**
 * Overwrites an open file with zeros, from its beginning. If the disk writes elsewhere (SSD, copy on write), the old bytes may stay
 * on it.
 */
export function overwrite(file: number): void {
  writeFileSync(file, Buffer.alloc(fstatSync(file).size));
  fsyncSync(file);
}
