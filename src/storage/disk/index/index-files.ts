import { join } from 'node:path';
import { type Files, readFile } from '../files.ts';
import { corrupt } from './leveldb/sealed.ts';

/** Number of openings in a row without progress and without a clean end after which the index is rebuilt unopened. */
const MOST_OPENINGS = 2;
/** The same with progress. */
const MOST_ENDINGS = 8;

/** The stored count of openings since the last clean end. */
interface Openings {
  /** Number of openings. */
  readonly count: number;
  /** Number of the latest of them in which the index came no further. */
  readonly idle: number;
  readonly checkpoint: number;
}

const NONE: Openings = { count: 0, idle: 0, checkpoint: 0 };

/**
 * The files of the index: the folder of LevelDB, a mark that it is damaged, and a count of its openings.
 *
 * LevelDB may end the process when it meets a damaged table: an assertion in `TableBuilder::Add` fails if keys are not in
 * order. This is bounded: an index that was opened repeatedly without a clean end and without progress is rebuilt without
 * being opened.
 */
export class IndexFiles {
  /** The folder of LevelDB. */
  readonly location: string;
  readonly #files: Files;
  readonly #path: string;
  #openings = NONE;

  /** `path` is the folder that holds the log and the index. */
  constructor(files: Files, path: string) {
    this.#files = files;
    this.#path = path;
    this.location = join(path, 'index');
  }

  /** Counts an opening. Resolves with the reason why the index must not be opened, if there is one. */
  async enter(): Promise<string | undefined> {
    const damage = await this.#read('index.damaged');
    this.#openings = openingsOf(await this.#read('index.open'));
    const { count, idle } = this.#openings;
    if (damage !== undefined) return damage;
    if (idle >= MOST_OPENINGS || count >= MOST_ENDINGS) return `the process has ended ${count} times while it was open`;
    await this.#count({ ...this.#openings, count: count + 1, idle: idle + 1 });
    return undefined;
  }

  /** Notes how far the index is that was opened. */
  async opened(checkpoint: number): Promise<void> {
    if (checkpoint > this.#openings.checkpoint) await this.#count({ ...this.#openings, idle: 1, checkpoint });
  }

  /** Notes that the index has ended cleanly. */
  async leave(): Promise<void> {
    await this.#remove('index.open');
  }

  /** Marks the index as damaged, so that it is not opened again even after a crash. */
  async markDamaged(reason: string): Promise<void> {
    await this.#write('index.damaged', reason, true);
  }

  /** Removes the index. */
  async remove(): Promise<void> {
    await this.#files.remove(this.location);
    // The mark goes last: a crash must not leave a part of a damaged index.
    await this.#remove('index.damaged');
    await this.#count({ count: 1, idle: 1, checkpoint: 0 });
  }

  /**
   * Creates the folder unless it is there.
   *
   * @throws {ContextCacheError} `LOG_CORRUPT` if something else is there.
   */
  async prepare(): Promise<void> {
    try {
      await this.#files.makeDirectory(this.location);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw corrupt('The index is not a folder', error);
      throw error;
    }
  }

  async #count(openings: Openings): Promise<void> {
    this.#openings = openings;
    await this.#write('index.open', JSON.stringify(openings), false);
  }

  async #read(name: string): Promise<string | undefined> {
    const names = await this.#files.list(this.#path);
    return names.includes(name) ? readFile(this.#files, join(this.#path, name)).toString() : undefined;
  }

  async #write(name: string, text: string, sync: boolean): Promise<void> {
    const file = await this.#files.create(join(this.#path, name), false);
    try {
      await file.write([Buffer.from(text)], 0);
      if (sync) await file.sync();
    } finally {
      await file.close();
    }
    if (sync) await this.#files.syncDirectory(this.#path);
  }

  async #remove(name: string): Promise<void> {
    await this.#files.remove(join(this.#path, name));
  }
}

function openingsOf(text: string | undefined): Openings {
  try {
    return { ...NONE, ...(JSON.parse(text ?? '{}') as Partial<Openings>) };
  } catch {
    // Not synced, so a power cut may leave anything.
    return NONE;
  }
}
