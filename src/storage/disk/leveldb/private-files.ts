import { chmod, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Gives the files of a directory mode 0600. LevelDB makes its files as the process's umask says, in threads of its own
 * and for as long as it is open, and the umask of a whole process is not ours to change. The directory (0700) keeps others
 * out meanwhile.
 */
export class PrivateFiles {
  readonly #location: string;
  #done = new Set<string>();
  #sweeping: Promise<void> | undefined;

  constructor(location: string) {
    this.#location = location;
  }

  /** Sees to the files that are new. */
  sweep(): Promise<void> {
    this.#sweeping ??= this.#sweep().finally(() => {
      this.#sweeping = undefined;
    });
    return this.#sweeping;
  }

  async #sweep(): Promise<void> {
    const files = await readdir(this.#location).catch(() => []);
    const fresh = files.filter((file) => !this.#done.has(file));
    this.#done = new Set(files);
    // It may be gone again, be another's, or lie in a file system without modes; the directory's mode is what is left.
    await Promise.all(fresh.map((file) => chmod(join(this.#location, file), 0o600).catch(() => {})));
  }
}
