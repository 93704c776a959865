import type { BaseContextCache, LogMark } from '../../backends/base-context-cache.ts';
import type { Owner } from '../../backends/owner.ts';
import { writeToPrimary } from '../../backends/primary.ts';
import { withDeletes } from '../../core/cleared-keys.ts';
import type { Clock } from '../../core/clock.ts';
import { withDeadline } from '../../core/deadline.ts';
import type { Capture } from '../../core/namespace-state.ts';
import { createUpdate, type Update } from '../../core/update.ts';
import { countOfWhole } from '../../core/whole-operations.ts';
import type { ConnectOutcome, FollowerSink, StateCapture } from '../../storage/follower-sink.ts';

/** Estimated bytes in one call of the secondary, so that the call ends in time. An operation that has more takes several calls. */
const CALL_BYTES = 32 * 1024 * 1024;

/** Writes the updates to the secondary backend. */
export class MirrorSink implements FollowerSink {
  readonly batchSize = 8192;
  readonly #secondary: BaseContextCache;
  readonly #owner: Owner;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  /** Last known position of the secondary. The next batch follows on it. */
  #position = 0;

  /** @param timeoutMs milliseconds that one call of the secondary may take before it counts as failed. */
  constructor(secondary: BaseContextCache, owner: Owner, clock: Clock, timeoutMs = 5_000) {
    this.#secondary = secondary;
    this.#owner = owner;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Claims the secondary and reads its position. A secondary without a position, although this log has written to it
   * before, was emptied or restored: the whole state is copied to it.
   */
  async connect(checkpoint: number, signal: AbortSignal): Promise<ConnectOutcome> {
    await this.#call(async (limited) => this.#secondary.connect?.(limited), signal);
    await this.#call(async (limited) => this.#secondary.claim?.(this.#owner, limited), signal);
    this.#position = checkpoint;
    if (this.#secondary.appliedPosition === undefined) return 'resume';
    const applied = await this.#call(
      async (limited) => this.#secondary.appliedPosition?.(this.#owner.log, limited),
      signal,
    );
    if ((applied ?? 0) < checkpoint) return 'resync';
    this.#position = applied ?? 0;
    return { position: this.#position };
  }

  async deliver(updates: readonly Update[], through: number, signal: AbortSignal): Promise<void> {
    await this.#write(updates, { after: this.#position, through }, signal);
    this.#position = through;
  }

  /**
   * Makes the secondary equal to the capture. Drops namespaces that are not in the capture, unless another log has written
   * there as well.
   */
  async resync(state: StateCapture, signal: AbortSignal): Promise<void> {
    // The secondary counts as empty until the end, so an interrupted copy restarts.
    await this.#call(async (limited) => this.#secondary.resetPosition?.(this.#owner.log, 0, limited), signal);
    const unknown = new Set(await this.#call(async () => this.#secondary.listNamespaces(), signal));
    for await (const capture of state.namespaces()) {
      signal.throwIfAborted();
      unknown.delete(capture.name);
      await this.#copy(capture, signal);
    }
    const { otherLogs } = this.#secondary;
    const shared =
      otherLogs === undefined ||
      (await this.#call((limited) => otherLogs.call(this.#secondary, this.#owner.log, limited), signal));
    if (!shared) {
      for (const name of unknown) await this.#drop(name, signal);
    }
    await this.#call(
      async (limited) => this.#secondary.resetPosition?.(this.#owner.log, state.position, limited),
      signal,
    );
    this.#position = state.position;
  }

  /** Releases the claim when the follower stops, and the connection. A secondary that fails here is left as it is. */
  async disconnect(final = false): Promise<void> {
    const { signal } = new AbortController();
    if (final) await this.#call(async () => this.#secondary.release?.(), signal).catch(() => {});
    await this.#call(async () => this.#secondary.close?.(), signal).catch(() => {});
  }

  onLost(lost: (cause: Error) => void): void {
    this.#secondary.onLost?.(lost);
  }

  /** Goes through the position if the secondary keeps one, so that a writer that lost its claim drops nothing. */
  async #drop(name: string, signal: AbortSignal): Promise<void> {
    const update = createUpdate({ namespace: name, version: 0, operation: 'clear_namespace', at: 0, drop: true });
    await this.#write([update], { after: 0, through: 0 }, signal);
  }

  async #copy(capture: Capture, signal: AbortSignal): Promise<void> {
    const { name } = capture;
    const stale = new Set(await this.#call(async () => this.#secondary.listKeys(name), signal));
    let group: Update[] = [];
    if (capture.count === 0) {
      // Has no key to be listed by.
      group.push(createUpdate({ namespace: name, version: capture.version, operation: 'clear_namespace', at: 0 }));
    }
    const write = async () => {
      await this.#write(group, { after: 0, through: 0 }, signal);
      group = [];
    };
    for (const [key, { value, version, updatedAt, agent, expiresAt, bytes, meta }] of capture.entries()) {
      stale.delete(key);
      group.push(
        createUpdate({
          namespace: name,
          version,
          operation: 'set',
          key,
          value: value ?? null,
          at: updatedAt,
          agent,
          expiresAt,
          bytes,
          meta,
        }),
      );
      if (group.length >= this.batchSize) await write();
    }
    for (const key of stale) {
      group.push(createUpdate({ namespace: name, version: capture.version, operation: 'delete', key, at: 0 }));
      if (group.length >= this.batchSize) await write();
    }
    await write();
  }

  async #write(updates: readonly Update[], mark: Omit<LogMark, 'log'>, signal: AbortSignal): Promise<void> {
    let rest = updates;
    let { after } = mark;
    do {
      const some = firstOf(rest);
      rest = rest.slice(some.length);
      const through = rest.length === 0 ? mark.through : Math.max(after, some.at(-1)?.position ?? after);
      await this.#writeSome(some, { log: this.#owner.log, after, through }, signal);
      after = through;
    } while (rest.length > 0);
  }

  async #writeSome(updates: readonly Update[], mark: LogMark, signal: AbortSignal): Promise<void> {
    const changes = withDeletes(updates);
    if (this.#secondary.applyUpdates !== undefined) {
      await this.#call(async (limited) => this.#secondary.applyUpdates?.(changes, mark, limited), signal);
    } else {
      for (const update of changes) await this.#call(async () => writeToPrimary(this.#secondary, update), signal);
    }
  }

  #call<T>(work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    return withDeadline(work, { what: 'The secondary', timeoutMs: this.#timeoutMs, clock: this.#clock, signal });
  }
}

/** Returns the first updates, as many as one call may have; at least one. Splits no operation that fits in one call. */
function firstOf(updates: readonly Update[]): readonly Update[] {
  let bytes = 0;
  const end = updates.findIndex((update, i) => {
    bytes += update.bytes;
    return i > 0 && bytes > CALL_BYTES;
  });
  return end === -1 ? updates : updates.slice(0, Math.min(end, countOfWhole(updates, end)));
}
