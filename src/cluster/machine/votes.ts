/** Number of latest messages of which a node knows what it had come to; a power of two. */
const REMEMBERED = 8192;
/** A vote counts for this long, in the stream's time. */
const VOTE_MS = 3_000;

/** How many others agree with this node, and how many do not. */
export interface Opinion {
  readonly agree: number;
  readonly disagree: number;
}

/**
 * Finds out whether this node differs from the others: each message says what its sender had come to at an earlier one, which
 * this node compares with what it had come to there. Not part of the state: each node counts for itself.
 */
export class Votes {
  readonly #hashes = new Uint32Array(REMEMBERED);
  readonly #sequences = new Float64Array(REMEMBERED);
  readonly #votes = new Map<string, { readonly agrees: boolean; readonly at: number }>();

  /** Notes what this node has come to at a message. */
  note(sequence: number, hash: number): void {
    const slot = sequence % REMEMBERED;
    this.#sequences[slot] = sequence;
    this.#hashes[slot] = hash;
  }

  /** Takes in what the sender of a message had come to. Says nothing if this node does not know what it had itself. */
  hear(session: string, seenSequence: number, seenHash: number, at: number): void {
    const slot = seenSequence % REMEMBERED;
    if (seenSequence === 0 || this.#sequences[slot] !== seenSequence) return;
    this.#votes.set(session, { agrees: this.#hashes[slot] === seenHash, at });
  }

  /** Counts the votes of the others that are not too old. */
  opinion(own: string, now: number): Opinion {
    let agree = 0;
    let disagree = 0;
    for (const [session, { agrees, at }] of this.#votes) {
      if (at < now - VOTE_MS) this.#votes.delete(session);
      else if (session === own) continue;
      else if (agrees) agree += 1;
      else disagree += 1;
    }
    return { agree, disagree };
  }

  /** Returns whether this node is voted out: more are against it than for it, its own vote counted. */
  isVotedOut(own: string, now: number): boolean {
    const { agree, disagree } = this.opinion(own, now);
    return disagree > agree + 1;
  }
}

/** Adds a number to a hash of all before it. */
export function mix(hash: number, value: number): number {
  const mixed = Math.imul(hash ^ (value >>> 0), 0x9e3779b1);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
