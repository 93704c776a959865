// The counterpart of disk-faults.c: arms and disarms the faults of this process.
import { openSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';

/** Layout of `struct control` there. */
const SIZE = 24 + 2 * 256;
const KINDS = { write: 1, sync: 2, rename: 4, remove: 8 };
const FATES = { lost: 0, torn: 1, done: 2 };

export class DiskControl {
  #file;

  constructor(path) {
    this.#file = openSync(path, 'r+');
  }

  arm({ kinds, n, error, forever = false, fate = 'lost', directory }) {
    const bytes = Buffer.alloc(SIZE);
    bytes.writeInt32LE(n, 4);
    bytes.writeInt32LE(constants.errno[error], 8);
    bytes.writeInt32LE(Number(forever), 12);
    bytes.writeInt32LE(FATES[fate], 16);
    bytes.write(directory, 280);
    writeSync(this.#file, bytes, 0, SIZE, 0);
    const mask = kinds.reduce((sum, kind) => sum + KINDS[kind], 0);
    bytes.writeInt32LE(mask, 0);
    // Armed last: a half-written control would fail at once.
    writeSync(this.#file, bytes, 0, 4, 0);
  }

  disarm() {
    writeSync(this.#file, Buffer.alloc(4), 0, 4, 0);
  }

  /** Returns the file of the first failure since the fault was armed; `undefined` if there is none yet. */
  firstFailure() {
    const bytes = Buffer.alloc(SIZE);
    readSync(this.#file, bytes, 0, SIZE, 0);
    if (bytes.readInt32LE(20) === 0) return undefined;
    return { file: bytes.toString('utf8', 24, 280).replace(/\0.*$/s, '') };
  }
}
