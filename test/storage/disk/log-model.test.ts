import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ContextCacheError } from '../../../src/core/errors.ts';
import { createUpdate, type PendingUpdate, type Update } from '../../../src/core/update.ts';
import { DiskLog } from '../../../src/storage/disk/log/disk-log.ts';
import { frameAt } from '../../../src/storage/disk/log/frame.ts';
import { all } from '../../support/log.ts';
import { contentOf, fold, recompute, retain } from '../../support/log-truth.ts';
import { MemoryFiles } from '../../support/memory-files.ts';
import { fcOptions } from '../../support/property.ts';

/** A step in the life of a log. Fractions choose among what there is. */
type Step =
  | { readonly kind: 'append'; readonly groups: readonly (readonly number[])[] }
  | { readonly kind: 'setting'; readonly value: number }
  | { readonly kind: 'follow'; readonly fraction: number }
  | { readonly kind: 'retain'; readonly fraction: number; readonly wholly: boolean }
  | { readonly kind: 'reopen'; readonly sync: boolean }
  /** The process ends while a group is being written; some bytes of the last write are missing. */
  | { readonly kind: 'crash'; readonly sizes: readonly number[]; readonly fraction: number; readonly torn: number }
  /** The end of the last file is lost, whatever it holds. */
  | { readonly kind: 'cut'; readonly fraction: number };

const aSize = fc.oneof(
  { weight: 8, arbitrary: fc.nat(3000) },
  { weight: 1, arbitrary: fc.integer({ min: 200_000, max: 1_500_000 }) },
);
const someSizes = fc.array(aSize, { minLength: 1, maxLength: 5 });
/** A unit that takes several frames. */
const severalFrames = fc.array(fc.integer({ min: 500_000, max: 900_000 }), { minLength: 3, maxLength: 5 });
const aFraction = fc.double({ min: 0, max: 1, noNaN: true });

const aStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('append'), groups: fc.array(someSizes, { maxLength: 6 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('setting'), value: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('follow'), fraction: aFraction }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('retain'), fraction: aFraction, wholly: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('reopen'), sync: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('crash'),
      sizes: fc.oneof(someSizes, severalFrames),
      fraction: aFraction,
      torn: aFraction,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut'), fraction: aFraction }) },
);

/** The log under test, and what it must hold. */
class Life {
  files = new MemoryFiles();
  log!: DiskLog;
  sync = true;
  /** All updates so far, those that were discarded included. */
  updates: Update[] = [];
  setting: number | undefined;

  async open(): Promise<void> {
    this.log = await DiskLog.open({ dataDir: '/data', files: this.files, sync: this.sync, capacityUpdates: 5 });
  }

  async take(step: Step): Promise<void> {
    if (step.kind === 'append') await this.#append(step.groups);
    else if (step.kind === 'setting') await this.#set(step.value);
    else if (step.kind === 'follow') await this.log.follower('f').save(this.#choose(step.fraction));
    else if (step.kind === 'retain') await this.#retain(step.fraction, step.wholly);
    else if (step.kind === 'reopen') await this.#reopen(step.sync);
    else if (step.kind === 'crash') await this.#crash(step.sizes, step.fraction, step.torn);
    else await this.#cut(step.fraction);
    await this.check();
  }

  async check(): Promise<void> {
    const { log, updates } = this;
    expect([log.head, log.committed]).toEqual([updates.length, updates.length]);
    expect(await all(log.read(log.first))).toEqual(updates.slice(log.first - 1));
    const { base } = log.names();
    expect(log.recent(base + 1, log.head)).toEqual(updates.slice(base));
    expect(contentOf(await recompute(this.files, log))).toEqual(contentOf(fold(updates)));
    expect(log.configStore.get('number')).toBe(this.setting);
  }

  /** Returns a position between the start and the end of the log. */
  #choose(fraction: number): number {
    return this.log.first - 1 + Math.floor(fraction * (this.log.committed - this.log.first + 1));
  }

  #made(sizes: readonly number[]): PendingUpdate[] {
    const version = this.updates.length + 1;
    return sizes.map((bytes, index) =>
      createUpdate({
        ...{ namespace: 'n', version: version + index, operation: 'set', key: `k${bytes % 7}`, at: 5, bytes },
        value: `${version + index}`.padEnd(bytes, '.'),
      }),
    );
  }

  async #append(groups: readonly (readonly number[])[]): Promise<void> {
    for (const sizes of groups) {
      const made = this.#made(sizes);
      this.log.append(made);
      this.updates.push(...made);
      // Some groups are written together.
      if (sizes.length % 2 === 0) await this.log.flush();
    }
    await this.log.flush();
  }

  async #set(value: number): Promise<void> {
    await this.log.configStore.set('number', value);
    this.setting = value;
  }

  async #retain(fraction: number, wholly: boolean): Promise<void> {
    const kept = this.log.checkpoints().map(({ checkpoint }) => checkpoint);
    const position = Math.min(this.#choose(fraction), ...kept);
    if (position > this.log.names().base) await retain(this.files, this.log, this.updates, position, wholly);
  }

  async #reopen(sync: boolean): Promise<void> {
    await this.log.close();
    this.sync = sync;
    await this.open();
  }

  async #crash(sizes: readonly number[], fraction: number, torn: number): Promise<void> {
    const before = this.files.copy();
    const moments: MemoryFiles[] = [];
    this.files.onChange = () => moments.push(this.files.copy());
    const made = this.#made(sizes);
    this.log.append(made);
    await this.log.flush();
    this.files.onChange = () => {};
    await this.log.close();
    const index = Math.floor(fraction * (moments.length - 1));
    this.files = moments[index] as MemoryFiles;
    tear(moments[index - 1] ?? before, this.files, torn);
    const committed = this.updates;
    await this.open();
    // The group is in the log as a whole or not at all.
    expect([committed.length, committed.length + made.length]).toContain(this.log.head);
    if (this.log.head > committed.length) this.updates.push(...made);
  }

  async #cut(fraction: number): Promise<void> {
    await this.log.close();
    const before = this.files.copy();
    const path = this.files.named('.log').at(-1) as string;
    const bytes = this.files.bytes(path);
    const heading = frameAt(bytes, 16)?.end ?? 0;
    this.files.put(path, bytes.subarray(0, heading + Math.floor(fraction * (bytes.length - heading))));
    try {
      await this.open();
      this.updates = this.updates.slice(0, this.log.head);
      this.setting = this.log.configStore.get('number') as number | undefined;
    } catch (error) {
      // The base file or a follower has what was lost.
      expect(error).toBeInstanceOf(ContextCacheError);
      expect((error as ContextCacheError).code).toBe('LOG_CORRUPT');
      this.files = before;
      await this.open();
    }
  }
}

/** Undoes the end of the last write: after a number of bytes that differ, the files are as they were before it. */
function tear(before: MemoryFiles, after: MemoryFiles, fraction: number): void {
  for (const [path, bytes] of after.all) {
    if (!path.endsWith('.log')) continue;
    const old = before.named(path).length === 0 ? undefined : before.bytes(path);
    if (old === undefined || old.length > bytes.length || bytes.equals(old)) continue;
    const start = bytes.findIndex((byte, index) => byte !== (old[index] ?? -1));
    const cut = start + Math.floor(fraction * (bytes.length - start));
    after.put(path, Buffer.concat([bytes.subarray(0, cut), old.subarray(Math.min(cut, old.length))]));
  }
}

it('a log behaves as an array, whatever happens to it', async () => {
  const property = fc.asyncProperty(fc.array(aStep, { maxLength: 25 }), async (steps) => {
    const life = new Life();
    await life.open();
    for (const step of steps) await life.take(step);
    await life.log.close();
    await life.open();
    await life.check();
    await life.log.close();
  });
  await fc.assert(property, fcOptions(40));
});
