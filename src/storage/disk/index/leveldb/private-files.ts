import { chmod, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Gives the files of a directory mode 0600. LevelDB creates files with the umask of the process, in its own threads and
 * for as long as it is open, and changing the umask of the whole process is not acceptable. The directory's mode (0700)
 * protects the files meanwhile.
 */
export class PrivateFiles {
  readonly #location: string;
  #done = new Set<string>();
  #sweeping: Promise<void> | undefined;

  constructor(location: string) {
    this.#location = location;
  }

  /** Changes the mode of new files. */
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
    // The file may be gone, belong to another user, or lie in a file system without modes. The directory's mode still
    // protects it.
    await Promise.all(fresh.map((file) => chmod(join(this.#location, file), 0o600).catch(() => {})));
  }
}
