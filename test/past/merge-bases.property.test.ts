import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AgentContextCache, Update } from '../../src/index.ts';
import { execute, linksOf, reached, writes } from '../support/basis-model.ts';
import { logOf, makeCache } from '../support/cache.ts';
import { fcOptions } from '../support/property.ts';

const commands = fc.array(writes, { maxLength: 14, size: 'max' });
const sorted = (positions: Iterable<number>) => [...positions].sort((a, b) => a - b);
const isOf = ({ key, keys }: Update, name: string) =>
  key === null ? keys === undefined || keys.includes(name) : key === name;

/** What a merge has made of the updates of a branch, found by comparing both logs. */
class Walk {
  readonly merged: readonly Update[];
  readonly #whole: readonly Update[];
  readonly #own: readonly Update[];
  readonly #into: readonly Update[];
  readonly #fork: number;
  readonly #isNew: (merged: Update) => boolean;
  readonly #earlier: Walk | undefined;

  /** `parent` and `branch` are the logs after the merge, `begin` the parent's position before it, `mark` that of the branch's last merge. */
  constructor(
    { parent, branch, fork }: { parent: readonly Update[]; branch: readonly Update[]; fork: number },
    { begin, mark, earlier }: { begin: number; mark: number; earlier?: Walk },
    isNew: (merged: Update) => boolean,
  ) {
    this.#fork = fork;
    this.#own = branch.filter(({ position }) => position > mark);
    this.#whole = [...parent.slice(0, fork), ...branch];
    this.#into = parent.slice(0, begin);
    this.merged = parent.slice(begin);
    this.#isNew = isNew;
    this.#earlier = earlier;
  }

  /** Returns the last write of a key in the branch, without the touches after it. */
  #lastOf(namespace: string, key: string): Update | undefined {
    let found: Update | undefined;
    for (const update of this.#own) {
      if (update.namespace !== namespace || !isOf(update, key)) continue;
      const isKept =
        update.operation === 'touch' && found !== undefined && found.key !== null && found.operation !== 'delete';
      if (!isKept) found = update;
    }
    return found;
  }

  /** Returns the update of the target that brings a write of the branch. */
  imageOf(position: number): Update | undefined {
    const write = this.#whole[position - 1];
    const earlier = this.#earlier?.imageOf(position);
    if (write === undefined || earlier !== undefined) return earlier;
    const { namespace, key, operation } = write;
    if (key === null || operation === 'delete' || this.#lastOf(namespace, key) !== write) return undefined;
    const merged = this.merged.find((each) => each.namespace === namespace && each.key === key);
    return merged === undefined || merged.operation === 'delete' || this.#isNew(merged) ? undefined : merged;
  }

  /** Returns the last write of an entry that the target had already as the branch has written it. */
  #alike(write: Update): Update | undefined {
    const { namespace, key, operation } = write;
    if (key === null || operation === 'delete' || this.#lastOf(namespace, key) !== write) return undefined;
    if (this.merged.some((each) => each.namespace === namespace && isOf(each, key))) return undefined;
    const [ours, theirs] = [this.#into, this.#whole].map((log) => entryOf(log, namespace, key));
    const isEqual = ours?.value === theirs?.value && ours?.expiresAt === theirs?.expiresAt;
    return isEqual ? ours?.last : undefined;
  }

  /** Returns the positions in the target of the writes that a write of the branch is certainly based on. */
  #causesOf(write: Update, seen = new Set<Update>()): number[] {
    if (seen.has(write)) return [];
    seen.add(write);
    const links = linksOf(this.#whole.filter(({ position }) => position <= write.position));
    const causes = links
      .filter(({ effect, certain }) => certain && effect === write.position)
      .map(({ cause }) => cause);
    return causes.flatMap((cause) => {
      const named = this.#whole[cause - 1] as Update;
      if (cause <= this.#fork) return this.#isStillNamed(named) ? [cause] : [];
      const image = this.imageOf(cause);
      if (image !== undefined && named.basis !== undefined) return [image.position];
      if (image !== undefined) return [image.position, ...this.#causesOf(named, seen)];
      const alike = this.#alike(named);
      return [...this.#causesOf(named, seen), ...(alike === undefined ? [] : [alike.position])];
    });
  }

  /** Returns whether the version of an update from before the fork names it in the target still. */
  #isStillNamed({ namespace, position }: Update): boolean {
    const own = this.#into.filter((each) => each.namespace === namespace);
    return own.findLast((each) => each.position <= this.#fork)?.drop === false && position <= this.#fork;
  }

  /** Returns the positions of the writes that each update of the target is certainly based on. */
  links(): { cause: number; effect: number }[] {
    const before = linksOf(this.#into).filter(({ certain }) => certain);
    const made = this.merged.flatMap((merged) => {
      const source = this.sourceOf(merged);
      const isKnown = source?.basis !== undefined && (merged.operation !== 'delete' || source.operation !== 'set');
      const causes = source !== undefined && isKnown ? this.#causesOf(source) : [];
      const ours = this.#into.findLast(
        (each) => each.namespace === merged.namespace && each.version === merged.replaced,
      );
      const isOurs = merged.operation === 'touch' || (isKnown && this.#isNew(merged));
      if (ours !== undefined && merged.replaced > 0 && isOurs) causes.push(ours.position);
      return causes.map((cause) => ({ cause, effect: merged.position }));
    });
    return [...before, ...made];
  }

  /** Returns the write of the branch that an update of the target brings. */
  sourceOf({ namespace, key }: Update): Update | undefined {
    if (key !== null) return this.#lastOf(namespace, key);
    return this.#own.findLast((each) => each.namespace === namespace && each.key === null && each.keys === undefined);
  }

  /** Returns pairs of updates of the target of which the later is based on the earlier in the branch, or may be. */
  *reachedInBranch(): Generator<[number, number]> {
    const links = linksOf(this.#whole);
    for (const merged of this.merged) {
      const source = this.sourceOf(merged);
      if (source?.basis === undefined || (merged.operation === 'delete' && source.operation === 'set')) continue;
      for (const position of reached(links, source.position, 'effect', 'cause')) {
        const image = position <= this.#fork ? position : this.imageOf(position)?.position;
        if (image !== undefined && position !== source.position) yield [image, merged.position];
      }
    }
  }
}

function entryOf(log: readonly Update[], namespace: string, key: string) {
  let entry: { value: unknown; expiresAt: number | null; last: Update } | undefined;
  for (const update of log) {
    if (update.namespace !== namespace || !isOf(update, key)) continue;
    const { operation, value, expiresAt } = update;
    if (operation === 'set') entry = { value, expiresAt, last: update };
    else if (operation === 'touch' && entry !== undefined) entry = { ...entry, expiresAt, last: update };
    else entry = undefined;
  }
  return entry;
}

/** A branch, or a branch of a branch, and all updates between the fork from the parent and its present. */
class Recorded {
  branch: AgentContextCache;
  readonly updates: Update[] = [];
  readonly #open: AgentContextCache[] = [];
  /** Position at which the present branch begins, if it is one of a branch. */
  #begin = 0;
  /** `true` once a log lacks some of the updates. */
  isCut = false;

  constructor(branch: AgentContextCache) {
    this.branch = branch;
  }

  async run(all: readonly Parameters<typeof execute>[1][]): Promise<void> {
    for (const write of all) {
      await execute(this.branch, write);
      const last = this.updates.at(-1)?.position ?? 0;
      const own = await logOf(this.branch);
      this.updates.push(...own.filter(({ position }) => position > last));
      const first = own[0]?.position ?? 0;
      this.isCut ||= this.updates.some(({ position }) => position < first && position > this.#begin);
    }
  }

  /** Goes on in a branch of the branch. */
  async nest(): Promise<void> {
    this.#begin = this.branch.position;
    this.#open.push(this.branch);
    this.branch = await this.branch.fork();
  }

  async shutdown(): Promise<void> {
    for (const each of [this.branch, ...this.#open.reverse()]) await each.shutdown();
  }
}

async function run(cache: AgentContextCache, all: readonly Parameters<typeof execute>[1][]): Promise<void> {
  for (const write of all) await execute(cache, write);
}

describe('provenance and impact through a merge', () => {
  it('are what a walk over both logs finds', async () => {
    let reachable = 0;
    let reachableOfCut = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(commands, commands, commands, commands, commands),
        fc.constantFrom('theirs', 'ours', 'value'),
        fc.record({ isNested: fc.boolean(), capacityUpdates: fc.constantFrom(undefined, undefined, 1, 3, 6) }),
        async ([before, inParent, inBranch, laterInParent, laterInBranch], policy, { isNested, capacityUpdates }) => {
          const { cache } = makeCache();
          await run(cache, before);
          const fork = cache.position;
          const recorded = new Recorded(await cache.fork(capacityUpdates && { log: { capacityUpdates } }));
          await recorded.run(inBranch.slice(0, isNested ? inBranch.length / 2 : undefined));
          if (isNested) {
            await recorded.nest();
            await recorded.run(inBranch.slice(inBranch.length / 2));
          }
          const { branch } = recorded;
          await run(cache, inParent);
          const onConflict = policy === 'value' ? () => ({ value: -1000 }) : (policy as 'theirs' | 'ours');
          const merge = async (mark: number, earlier?: Walk) => {
            const begin = cache.position;
            await cache.merge(branch, { onConflict, agent: 'merger' });
            return new Walk(
              { parent: await logOf(cache), branch: recorded.updates, fork },
              { begin, mark, ...(earlier !== undefined && { earlier }) },
              ({ value }) => value === -1000,
            );
          };
          const isNeverLess = async (walk: Walk, begin: number) => {
            for (const [cause, effect] of walk.reachedInBranch()) {
              // Of two writes that the branch's log lacks it is not known which was first.
              if (recorded.isCut && cause > begin) continue;
              reachable += 1;
              if (recorded.isCut) reachableOfCut += 1;
              expect((await cache.impact(cause)).writes.map(({ position }) => position)).toContain(effect);
            }
          };
          const begin = cache.position;
          const first = await merge(fork);
          const links = first.links();
          for (const { position, namespace, key, version } of recorded.isCut ? [] : first.merged) {
            const positions = sorted(reached(links as never, position, 'effect', 'cause'));
            if (key !== null && cache.entry(key, namespace)?.version === version) {
              const { writes = [] } = (await cache.provenance(key, namespace)) ?? {};
              expect(sorted(writes.map((each) => each.position))).toEqual(positions);
            }
            for (const cause of positions) {
              const { writes: touched } = await cache.impact(cause);
              expect(touched.filter(({ certain }) => certain).map((each) => each.position)).toContain(position);
            }
          }
          await isNeverLess(first, begin);
          const mark = branch.position;
          await recorded.run(laterInBranch);
          await run(cache, laterInParent);
          const laterBegin = cache.position;
          await isNeverLess(await merge(mark, first), laterBegin);
          await recorded.shutdown();
          await cache.shutdown();
        },
      ),
      fcOptions(100),
    );
    expect(reachable).toBeGreaterThan(0);
    expect(reachableOfCut).toBeGreaterThan(0);
  }, 120_000);
});
