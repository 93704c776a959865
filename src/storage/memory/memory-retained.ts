import type { Holder, Retained, RetentionBounds } from '../retained.ts';
import { weigh } from '../update-ring.ts';
import type { MemoryLog } from './memory-log.ts';
import type { MemoryPast } from './memory-past.ts';

/** The ring of a log in memory and its past. Views own what they show, so they hold nothing back. */
export class MemoryRetained implements Retained {
  readonly #log: MemoryLog;
  readonly #past: MemoryPast;

  constructor(log: MemoryLog, past: MemoryPast) {
    this.#log = log;
    this.#past = past;
  }

  get begin(): number {
    return this.#log.first - 1;
  }

  limit({ keepUpdates, keepMs, keepBytes }: RetentionBounds, now: number): number {
    const { first, committed } = this.#log;
    const limits = [first - 1];
    if (keepUpdates !== undefined) limits.push(committed - keepUpdates);
    if (keepMs !== undefined || keepBytes !== undefined) {
      const updates = this.#log.recent(first, committed);
      if (keepMs !== undefined) {
        const kept = updates.findIndex(({ at }) => at > now - keepMs);
        limits.push(kept === -1 ? committed : first - 1 + kept);
      }
      let bytes = 0;
      const heavy = updates.findLastIndex((update) => {
        bytes += weigh(update);
        return keepBytes !== undefined && bytes > keepBytes;
      });
      limits.push(first + heavy);
    }
    return Math.max(...limits);
  }

  instantAt(position: number): number | undefined {
    const { first, committed } = this.#log;
    if (position > committed) return undefined;
    return this.#log.recent(first, position).reduce((latest, { at }) => Math.max(latest, at), 0);
  }

  *holders(): Generator<Holder> {
    for (const { name, checkpoint } of this.#log.checkpoints())
      yield { name: `follower ${name}`, position: checkpoint };
  }

  async trim(position: number): Promise<void> {
    this.#past.foldReleased();
    await this.#log.trim(position);
  }
}
