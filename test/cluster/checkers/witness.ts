import { type Operation, shown, type Verdict } from './history.ts';

/** An update of the log, which is the same on all nodes: the order that the stream has given. */
export interface LoggedUpdate {
  readonly position: number;
  readonly key: string;
  readonly version: number;
  /** `undefined` for a key that was deleted or has expired. */
  readonly value: string | undefined;
}

/** An operation with its position in the log. */
interface Placed {
  readonly operation: Operation;
  /** Position of the update that it made or saw; 0 if it saw that there was none yet. */
  readonly position: number;
  readonly isRead: boolean;
}

/**
 * Checks a history against the log of updates as the order of all writes. Needs time in proportion to the history, so that it can check
 * one of any length, over all keys. Returns the first violation.
 */
export function checkAgainstLog(operations: readonly Operation[], log: readonly LoggedUpdate[]): Verdict {
  const index = new LogIndex(log);
  const placed: Placed[] = [];
  const verdict = index.problem ?? place(operations, index, placed) ?? realTime(placed);
  return verdict ?? sequential(placed, index);
}

class LogIndex {
  readonly problem: Verdict;
  readonly #byKey = new Map<string, LoggedUpdate[]>();
  readonly #byValue = new Map<string, LoggedUpdate>();

  constructor(log: readonly LoggedUpdate[]) {
    this.problem = this.#read(log);
  }

  /** Returns the update with this version of a key. */
  version(key: string, version: number): LoggedUpdate | undefined {
    return this.#byKey.get(key)?.[version - 1];
  }

  written(value: string): LoggedUpdate | undefined {
    return this.#byValue.get(value);
  }

  #read(log: readonly LoggedUpdate[]): Verdict {
    let last = 0;
    for (const update of log) {
      const { key, version, value, position } = update;
      if (position <= last) return `Position ${position} follows ${last} in the log.`;
      last = position;
      const updates = this.#byKey.get(key) ?? [];
      this.#byKey.set(key, updates);
      if (version !== updates.length + 1) return `Version ${version} of ${key} follows ${updates.length} in the log.`;
      updates.push(update);
      if (value === undefined) continue;
      const other = this.#byValue.get(value);
      if (other !== undefined) return `The write of ${value} was applied twice, at ${other.position} and ${position}.`;
      this.#byValue.set(value, update);
    }
    return undefined;
  }
}

/** Finds each operation in the log, and checks its answer. */
function place(operations: readonly Operation[], index: LogIndex, placed: Placed[]): Verdict {
  for (const operation of operations) {
    const { ask, answer, key } = operation;
    const logged = ask.type === 'set' ? index.written(ask.value) : undefined;
    if (answer.type === 'read') {
      const seen = answer.version === undefined ? undefined : index.version(key, answer.version);
      // A miss has no version, so it stands nowhere; the search of `checkLinearizable` judges it.
      if (answer.value === undefined) continue;
      if (seen === undefined || seen.value !== answer.value)
        return `${shown(operation)} has read what was never written.`;
      placed.push({ operation, position: seen.position, isRead: true });
    } else if (answer.type === 'done' && answer.isChanged) {
      const made = index.version(key, answer.version);
      const isIt = made !== undefined && (ask.type === 'set' ? made === logged : made.value === undefined);
      if (!isIt) return `${shown(operation)} was acknowledged, and the log has another update in its place.`;
      const before = index.version(key, answer.version - 1);
      const entryVersion = before?.value === undefined ? 0 : before.version;
      if (ask.type !== 'get' && ask.ifVersion !== undefined && ask.ifVersion !== entryVersion) {
        return `${shown(operation)} was applied although its condition did not hold at version ${entryVersion}.`;
      }
      placed.push({ operation, position: made.position, isRead: false });
    } else if (logged !== undefined && answer.type !== 'unknown') {
      return `${shown(operation)} was not done, and it is in the log.`;
    } else if (logged !== undefined) {
      placed.push({ operation, position: logged.position, isRead: false });
    }
  }
  return undefined;
}

/** Instants and positions must not contradict each other, for writes and for reads after a barrier. */
function realTime(placed: readonly Placed[]): Verdict {
  const writes = placed.filter(({ isRead }) => !isRead);
  const crossed = firstCrossed(writes);
  if (crossed !== undefined) return crossed;
  for (const onKey of groupedByKey(placed).values()) {
    const problem = firstCrossed(onKey.filter(({ operation, isRead }) => !isRead || isLinearizable(operation)));
    if (problem !== undefined) return problem;
  }
  const writeAt = new Map(writes.map((write) => [write.position, write]));
  for (const { operation, position, isRead } of placed) {
    const write = isRead ? writeAt.get(position) : undefined;
    if (write !== undefined && write.operation.calledAt > operation.returnedAt) {
      return `${shown(operation)} has read the value of a write that was called later: ${shown(write.operation)}.`;
    }
  }
  return undefined;
}

const isLinearizable = ({ ask }: Operation) => ask.type === 'get' && ask.isAfterBarrier;

/** Finds two operations of which the earlier one by instants is the later one by position. */
function firstCrossed(placed: readonly Placed[]): Verdict {
  // From the end of the log: a read comes after the write that it saw.
  const ordered = [...placed].sort((a, b) => b.position - a.position || Number(b.isRead) - Number(a.isRead));
  let earliest: Placed | undefined;
  let group: Placed[] = [];
  for (const each of ordered) {
    const last = group[0];
    if (last !== undefined && (last.position !== each.position || last.isRead !== each.isRead)) {
      for (const one of group) {
        if (earliest === undefined || one.operation.returnedAt < earliest.operation.returnedAt) earliest = one;
      }
      group = [];
    }
    group.push(each);
    if (earliest !== undefined && earliest.operation.returnedAt < each.operation.calledAt) {
      return `${shown(earliest.operation)} returned before ${shown(each.operation)} was called, and comes after it.`;
    }
  }
  return undefined;
}

/** The operations of each session, local reads included, must stand in the log in the order of the session. */
function sequential(placed: readonly Placed[], index: LogIndex): Verdict {
  const reached = new Map<string, number>();
  const inOrder = [...placed].sort((a, b) => a.operation.calledAt - b.operation.calledAt);
  for (const { operation, position, isRead } of inOrder) {
    if (operation.answer.type === 'unknown') continue;
    const before = reached.get(operation.session) ?? 0;
    const { answer, key, session } = operation;
    const overwritten = answer.type === 'read' ? index.version(key, (answer.version ?? 0) + 1)?.position : undefined;
    const isBehind = isRead ? overwritten !== undefined && overwritten <= before : position < before;
    if (isBehind) return `${session} had come to position ${before}, and then ${shown(operation)} stands before it.`;
    reached.set(session, Math.max(before, position));
  }
  return undefined;
}

function groupedByKey(placed: readonly Placed[]): Map<string, Placed[]> {
  const groups = new Map<string, Placed[]>();
  for (const each of placed) {
    const group = groups.get(each.operation.key);
    if (group === undefined) groups.set(each.operation.key, [each]);
    else group.push(each);
  }
  return groups;
}
