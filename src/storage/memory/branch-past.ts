import { ContextCacheError } from '../../core/errors.ts';
import type { Update } from '../../core/update.ts';
import type { Lineage } from '../lineage.ts';
import type { PastSource, StateView } from '../past-source.ts';
import type { ForkPoint } from './fork-point.ts';
import type { MemoryPast } from './memory-past.ts';

/** The past of a branch: its own updates, and before the fork the past of its parent. */
export class BranchPast implements PastSource {
  readonly #own: MemoryPast;
  readonly #point: ForkPoint;
  readonly #parent: PastSource;
  /** Instant of the fork, epoch milliseconds. */
  readonly #madeAt: number;

  constructor(own: MemoryPast, point: ForkPoint, parent: PastSource, madeAt: number) {
    this.#own = own;
    this.#point = point;
    this.#parent = parent;
    this.#madeAt = madeAt;
  }

  get lineage(): Lineage {
    return this.#own.lineage;
  }

  /** Always `undefined`: the branch itself holds the view that it started from. */
  readonly pinned = undefined;

  get first(): number {
    if (!this.#ownIsWhole) return this.#own.first;
    return this.#parentIsSeen ? this.#parent.first : this.#point.position;
  }

  get reach(): number {
    return this.#ownIsWhole && this.#parentIsSeen ? this.#parent.reach : this.#own.reach;
  }

  at(position: number): StateView {
    if (position > this.#point.position) return this.#own.at(position);
    this.#point.assertOpen();
    return position === this.#point.position ? this.#point : this.#parent.at(position);
  }

  present(): StateView {
    return this.#own.present();
  }

  positionAt(instant: number): number {
    const { position } = this.#point;
    if (this.#parentIsSeen) {
      const before = this.#parent.positionAt(instant);
      if (before < position) return before;
    } else if (instant < this.#madeAt) {
      throw new ContextCacheError(
        'POSITION_UNAVAILABLE',
        'The past before the fork is not available: the parent no longer holds it. Use a time after the fork.',
      );
    }
    return this.#own.positionAt(instant);
  }

  *backwards(namespace: string): Generator<Update> {
    yield* this.#own.backwards(namespace);
    if (!this.#ownIsWhole || !this.#parentIsSeen) return;
    for (const update of this.#parent.backwards(namespace)) if (update.position <= this.#point.position) yield update;
  }

  async *updates(through: number, after = 0): AsyncGenerator<readonly Update[], void, undefined> {
    if (after < this.#point.position) {
      await this.#point.whenCommitted();
      yield* this.#parent.updates(Math.min(through, this.#point.position), after);
    }
    yield* this.#own.updates(through, after);
  }

  updateAt(position: number): Promise<Update | undefined> {
    return (position > this.#point.position ? this.#own : this.#parent).updateAt(position);
  }

  /** `true` if the branch has released none of its own updates. */
  get #ownIsWhole(): boolean {
    return this.#own.isWhole && this.#own.first === this.#point.position;
  }

  /** `true` if the parent's past can be read up to the fork. */
  get #parentIsSeen(): boolean {
    return this.#point.isOpen && this.#parent.first <= this.#point.position;
  }
}
