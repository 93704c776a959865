import { type Operation, shown, type Verdict } from './history.ts';

/** The state of one key. */
interface State {
  readonly version: number;
  readonly value: string | undefined;
  /** Instant before which the value cannot expire; `undefined` if it does not expire. */
  readonly expiresAfter: number | undefined;
}

/** The stream's time is in whole milliseconds, rounded down. */
const ROUNDING_MS = 2;

const EMPTY: State = { version: 0, value: undefined, expiresAfter: undefined };

/** An operation's call or return, in a list from which both are unlinked while the operation is taken. */
interface Event {
  readonly operation: number;
  readonly isCall: boolean;
  /** Of a call: its return. */
  match: Event | undefined;
  previous: Event | undefined;
  next: Event | undefined;
}

/**
 * Searches for an order of the operations on one key that respects their instants and explains each answer (Wing and Gong, with
 * Lowe's memory of the configurations that failed). Local reads must be left out: they need not be linearizable. An expiry may
 * happen before any operation that returns after the deadline, so a configuration holds the set of possible states.
 */
export function checkLinearizable(operations: readonly Operation[]): Verdict {
  const relevant = operations.filter(({ answer }) => answer.type !== 'refused');
  const head = eventsOf(relevant);
  const taken = new Uint8Array(relevant.length);
  const tried = new Set<string>();
  const calls: { readonly call: Event; readonly states: readonly State[] }[] = [];
  let states: readonly State[] = [EMPTY];
  let deepest: { readonly count: number; readonly operation: Operation } | undefined;
  for (let event = head.next; head.next !== undefined; ) {
    if (event?.isCall === true) {
      const operation = relevant[event.operation] as Operation;
      const following = step(states, operation);
      taken[event.operation] = 1;
      const configuration = `${taken.join('')}|${keyOf(following)}`;
      if (following.length > 0 && !tried.has(configuration)) {
        tried.add(configuration);
        calls.push({ call: event, states });
        states = following;
        unlink(event);
        event = head.next;
      } else {
        taken[event.operation] = 0;
        event = event.next;
      }
      continue;
    }
    const stuck = event === undefined ? undefined : relevant[event.operation];
    if (stuck !== undefined && calls.length >= (deepest?.count ?? 0)) {
      deepest = { count: calls.length, operation: stuck };
    }
    const last = calls.pop();
    if (last === undefined) return violation(relevant, deepest?.operation);
    taken[last.call.operation] = 0;
    states = last.states;
    link(last.call);
    event = last.call.next;
  }
  return undefined;
}

function violation(operations: readonly Operation[], stuck: Operation | undefined): string {
  const at = stuck === undefined ? '' : ` There is none up to ${shown(stuck)}.`;
  return `No order of the ${operations.length} operations on ${operations[0]?.key} explains their answers.${at}`;
}

/** Returns the states in which the key may be after the operation; none if its answer is impossible. */
function step(states: readonly State[], operation: Operation): State[] {
  const following: State[] = [];
  for (const state of states) {
    for (const each of afterExpiry(state, operation)) {
      const next = apply(each, operation);
      if (next !== undefined) following.push(next);
    }
  }
  return distinct(following);
}

function afterExpiry(state: State, { returnedAt }: Operation): State[] {
  if (state.expiresAfter === undefined || returnedAt < state.expiresAfter) return [state];
  return [state, { version: state.version + 1, value: undefined, expiresAfter: undefined }];
}

function apply(state: State, { ask, answer, calledAt }: Operation): State | undefined {
  if (ask.type === 'get') {
    if (answer.type !== 'read' || answer.value !== state.value) return undefined;
    return answer.version === undefined || answer.version === state.version ? state : undefined;
  }
  // The version of a missing key is 0 in a condition.
  const entryVersion = state.value === undefined ? 0 : state.version;
  const holds = ask.ifVersion === undefined || ask.ifVersion === entryVersion;
  if (answer.type === 'conflict') return !holds && answer.version === entryVersion ? state : undefined;
  if (!holds) return answer.type === 'unknown' ? state : undefined;
  const isChange = ask.type === 'set' || state.value !== undefined;
  const version = state.version + (isChange ? 1 : 0);
  if (answer.type === 'done' && (answer.isChanged !== isChange || answer.version !== version)) return undefined;
  if (ask.type === 'delete') return { version, value: undefined, expiresAfter: undefined };
  return {
    version,
    value: ask.value,
    expiresAfter: ask.ttl === undefined ? undefined : calledAt + ask.ttl - ROUNDING_MS,
  };
}

const textOf = ({ version, value, expiresAfter }: State) => `${version},${value},${expiresAfter}`;

function keyOf(states: readonly State[]): string {
  return states.map(textOf).sort().join(';');
}

function distinct(states: readonly State[]): State[] {
  return states.length < 2 ? [...states] : [...new Map(states.map((state) => [textOf(state), state])).values()];
}

/** Builds the list of calls and returns by instant; a call comes before a return at the same instant. Returns its head. */
function eventsOf(operations: readonly Operation[]): Event {
  const events: { readonly at: number; readonly event: Event }[] = [];
  operations.forEach(({ calledAt, returnedAt }, operation) => {
    const back: Event = { operation, isCall: false, match: undefined, previous: undefined, next: undefined };
    const call: Event = { operation, isCall: true, match: back, previous: undefined, next: undefined };
    events.push({ at: calledAt, event: call }, { at: returnedAt, event: back });
  });
  events.sort((a, b) => (a.at === b.at ? Number(b.event.isCall) - Number(a.event.isCall) : a.at < b.at ? -1 : 1));
  const head: Event = { operation: -1, isCall: false, match: undefined, previous: undefined, next: undefined };
  let last = head;
  for (const { event } of events) {
    last.next = event;
    event.previous = last;
    last = event;
  }
  return head;
}

function unlink(call: Event): void {
  for (const event of [call, call.match]) {
    if (event?.previous !== undefined) event.previous.next = event.next;
    if (event?.next !== undefined) event.next.previous = event.previous;
  }
}

/** Undoes {@link unlink}; in the opposite order, so that neighbours are right. */
function link(call: Event): void {
  for (const event of [call.match, call]) {
    if (event?.previous !== undefined) event.previous.next = event;
    if (event?.next !== undefined) event.next.previous = event;
  }
}
