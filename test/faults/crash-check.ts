import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { systemClock } from '../../src/core/clock.ts';
import { AgentContextCache, type ContextCommand, FileContextCache, type Update } from '../../src/index.ts';
import { Model, mismatch } from './crash-model.ts';
import type { Said } from './crash-process.ts';
import type { Random } from './support.ts';

/** A clock that stands still at the beginning, so that no entry expires during a check. */
export const still = { ...systemClock, now: () => 1 };

/**
 * Walks a log along the commands it was made of. The log must hold the updates of the commands, in order and each
 * command whole, up to one of them. Entries that are due may expire between two commands.
 */
export class Walk {
  readonly model = new Model();
  /** The last position of each command that is in the log with an update. */
  readonly positions = new Map<number, number>();
  position = 0;
  /** The command after the last one in the log. */
  next = 0;
  readonly #commands: readonly ContextCommand[];
  readonly #refused: ReadonlySet<number>;
  /** Updates that are still due of the command before `next`. */
  #due: ReturnType<Model['expected']> = [];

  /** `refused`: commands that were rejected as not done. */
  constructor(commands: readonly ContextCommand[], refused: ReadonlySet<number> = new Set()) {
    this.#commands = commands;
    this.#refused = refused;
  }

  take(update: Update): void {
    try {
      this.#take(update);
    } catch (error) {
      throw new Error(`Update ${update.position} (command ${this.next - 1}): ${(error as Error).message}`);
    }
  }

  /** Checks that the last command is whole. */
  finish(): void {
    if (this.#due.length > 0) throw new Error(`The log ends in the middle of command ${this.next - 1}`);
  }

  /** The commands from `next` on that would still make an update. */
  *missing(): Generator<number> {
    for (let index = this.next; index < this.#commands.length; index += 1) {
      const command = this.#commands[index];
      if (command !== undefined && !this.#refused.has(index) && this.model.expected(command).length > 0) yield index;
    }
  }

  #take(update: Update): void {
    if (update.position !== this.position + 1) throw new Error(`it comes after position ${this.position}`);
    if (update.operation !== 'expire' || this.#due.length > 0) {
      const expected = this.#expected();
      if (expected === undefined) throw new Error('no command has made it');
      const wrong = mismatch(update, expected);
      if (wrong !== undefined) throw new Error(`it is ${wrong}`);
      this.positions.set(this.next - 1, update.position);
    }
    this.model.take(update);
    this.position = update.position;
  }

  #expected() {
    while (this.#due.length === 0 && this.next < this.#commands.length) {
      const command = this.#commands[this.next] as ContextCommand;
      if (!this.#refused.has(this.next)) this.#due = this.model.expected(command);
      this.next += 1;
    }
    return this.#due.shift();
  }
}

/** Options of {@link checkDirectory}. */
export interface CheckOptions {
  readonly commands: readonly ContextCommand[];
  readonly refused?: ReadonlySet<number> | undefined;
  /** Positions whose views are checked. */
  readonly views: { readonly random: Random; readonly count: number };
  /** File of the mirror, which must become equal. */
  readonly mirror?: string | undefined;
}

/**
 * Opens a directory that no process holds and checks all of it: the log against the commands, state and views against
 * the fold of the log, and the mirror once it has caught up.
 */
export async function checkDirectory(dataDir: string, options: CheckOptions): Promise<Walk> {
  const { commands, refused, views, mirror } = options;
  const cache = await AgentContextCache.open({
    dataDir,
    clock: still,
    natsUrl: null,
    onError: () => undefined,
    ...(mirror === undefined ? {} : { secondaryCache: new FileContextCache({ path: mirror }) }),
  });
  try {
    const walk = new Walk(commands, refused);
    const looked = new Set(Array.from({ length: views.count }, () => 1 + views.random.below(cache.position)));
    await using snapshot = await newestSnapshot(dataDir);
    for await (const update of cache.readLog()) {
      walk.take(update);
      if (snapshot?.position === update.position) told('The newest snapshot', walk.model.difference(snapshot));
      if (!looked.has(update.position)) continue;
      using view = cache.at(update.position);
      told(`The view at position ${update.position}`, walk.model.difference(view));
    }
    if (snapshot !== undefined && snapshot.position > cache.position)
      throw new Error(`The newest snapshot is of position ${snapshot.position}; the log ends at ${cache.position}`);
    walk.finish();
    if (walk.position !== cache.position) throw new Error(`The log ends at ${walk.position}, not ${cache.position}`);
    told('The state', walk.model.difference(cache));
    if (mirror !== undefined) {
      await cache.synced();
      told('The mirror', await mirrorDifference(mirror, walk.model));
    }
    return walk;
  } finally {
    await cache.shutdown();
  }
}

/** Restores the newest whole snapshot of the directory; `undefined` if there is none. */
async function newestSnapshot(dataDir: string): Promise<AgentContextCache | undefined> {
  const restoreFrom = join(dataDir, 'backups');
  try {
    return await AgentContextCache.open({ restoreFrom, clock: still, natsUrl: null, onError: () => undefined });
  } catch (error) {
    if ((error as { code?: string }).code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

/**
 * Compares the acknowledgements with the log. An acknowledged update in the log must be at the position that was
 * acknowledged. Returns the number of those that are missing.
 */
export function lostAcknowledgements(walk: Walk, said: Said): number {
  let lost = 0;
  for (const [index, { position, changed }] of said.acknowledged) {
    const found = walk.positions.get(index);
    if (position > walk.position || (changed && found === undefined)) lost += 1;
    else if (changed && found !== position)
      throw new Error(`Command ${index} was acknowledged at position ${position} and is at ${found}`);
  }
  return lost;
}

/** Throws if an acknowledged update is missing from the log. */
export function checkNoneLost(walk: Walk, said: Said): void {
  const lost = lostAcknowledgements(walk, said);
  if (lost > 0)
    throw new Error(`${lost} of ${said.acknowledged.size} acknowledged are lost: the log ends at ${walk.position}`);
}

/** Runs a check. Its error also says where it failed and how to repeat it. */
export async function within<T>(where: object, check: () => Promise<T>): Promise<T> {
  try {
    return await check();
  } catch (error) {
    throw new Error(`${(error as Error).message}\n  at ${JSON.stringify(where)}`, { cause: error });
  }
}

function told(what: string, difference: string | undefined): void {
  if (difference !== undefined) throw new Error(`${what} differs from the fold of the log: ${difference}`);
}

async function mirrorDifference(path: string, model: Model): Promise<string | undefined> {
  const mirror = new FileContextCache({ path });
  const wanted = model.values();
  for (const namespace of new Set([...(await mirror.listNamespaces()), ...wanted.keys()])) {
    const keys = await mirror.listKeys(namespace);
    const values = await mirror.getMany(keys, namespace);
    const space = new Map(keys.map((key, index) => [key, values[index]]));
    if (!isDeepStrictEqual(space, wanted.get(namespace) ?? new Map())) return `namespace ${namespace}`;
  }
  return undefined;
}
