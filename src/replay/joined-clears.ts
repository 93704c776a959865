import { withKeys } from '../core/cleared-keys.ts';
import type { PendingUpdate } from '../core/update.ts';
import type { Candidate, ReadUpdate } from './candidate.ts';

/** A clear of which some messages have come. */
interface Begun {
  readonly first: ReadUpdate;
  readonly wanted: number;
  readonly keys: Set<string>;
}

/**
 * Joins the messages of each clear, one for each of its keys, to one update. A clear whose messages have not all come when
 * a later position comes is passed on as it is: {@link ReadUpdate.clearKeys} then differs from the number of its keys.
 */
export class JoinedClears {
  #begun: Begun | undefined;

  /** Returns what can be taken now. */
  take(candidate: Candidate): Candidate[] {
    const ready = this.#isOver(candidate) ? this.end() : [];
    if ('problem' in candidate || candidate.clearKeys === undefined) return [...ready, candidate];
    const begun = this.#begun ?? { first: candidate, wanted: candidate.clearKeys, keys: new Set<string>() };
    // A repeated message of an earlier clear, or one of another log.
    if (!isSame(begun.first, candidate)) return [...ready, candidate];
    this.#begun = begun;
    for (const key of candidate.update.keys ?? []) begun.keys.add(key);
    return begun.keys.size < begun.wanted ? ready : [...ready, ...this.end()];
  }

  /** Returns the clear that has begun: nothing more comes. */
  end(): Candidate[] {
    const begun = this.#begun;
    this.#begun = undefined;
    if (begun === undefined) return [];
    return [{ ...begun.first, update: withKeys(begun.first.update, [...begun.keys]) as PendingUpdate }];
  }

  #isOver(candidate: Candidate): boolean {
    const first = this.#begun?.first;
    if (first === undefined || 'problem' in candidate) return false;
    return candidate.log === first.log && candidate.update.position > first.update.position;
  }
}

function isSame(first: ReadUpdate, { log, update }: ReadUpdate): boolean {
  return log === first.log && update.position === first.update.position && update.namespace === first.update.namespace;
}
