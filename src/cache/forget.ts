import type { ContextCommand } from '../core/command.ts';
import { UNCONDITIONAL } from '../core/conditions.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { invalidCommand } from '../core/invalid-command.ts';
import type { EntryRecord } from '../core/namespace-state.ts';
import { type OriginOptions, originOf } from '../core/origin.ts';
import { FORGOTTEN_NAMESPACE } from '../core/own-namespaces.ts';
import { Request } from '../core/request.ts';
import { isSealed, SEALED, subjectOf } from '../core/sealed.ts';
import { TimeSlice } from '../core/time-slice.ts';
import { admit, type JsonValue } from '../core/value.ts';
import { type Engine, FOLLOWER } from '../engine/engine.ts';
import type { Writer } from '../engine/writer.ts';
import type { KeyRing } from '../subjects/key-ring.ts';

/** Options of `forget`. */
export interface ForgetOptions extends OriginOptions {
  /** Why, at most 1,000 characters. Stays readable in the log: put no personal data in it. Default: none. */
  readonly reason?: string | undefined;
}

/** Result of `forget`. */
export interface ForgetReport {
  readonly subject: string;
  /** Position of the update that records it. */
  readonly position: number;
  /** Number of present entries that were about the subject, wholly or in part. */
  readonly entries: number;
  /** Namespaces of these entries, sorted. */
  readonly namespaces: readonly string[];
  /**
   * The published updates about the subject, by topic, so that receivers can be told. The messages have the values as they are stored:
   * encrypted.
   */
  readonly published: readonly PublishedAbout[];
  /** First position that was searched for `published`: the log knows no earlier updates any more. */
  readonly publishedSince: number;
}

/** Updates about a subject that were published to a topic. */
export interface PublishedAbout {
  readonly topic: string;
  /** Number of updates. */
  readonly updates: number;
  /** Their positions in order, the first 10,000. */
  readonly positions: readonly number[];
}

/** A subject that values are or were about. */
export interface SubjectInfo {
  readonly subject: string;
  /** Instant of its first value, epoch milliseconds; `null`: not known here. */
  readonly createdAt: number | null;
  /** Instant at which it was forgotten, epoch milliseconds; `null`: it was not. */
  readonly forgottenAt: number | null;
  /** Why it was forgotten; absent: no reason was given. */
  readonly reason?: string;
  /** Agent that forgot it; absent: none was named. */
  readonly agent?: string;
}

type ForgetCommand = Extract<ContextCommand, { readonly type: 'subjects.forget' }>;

interface Deps {
  readonly parts: Engine;
  readonly writer: Writer;
}

const MAX_REASON = 1_000;
const MAX_POSITIONS = 10_000;

/**
 * Records that a subject is forgotten, which makes its values unreadable wherever the record is applied, and then destroys its key. If
 * the process ends in between, the next one that opens the cache with the key store destroys the key.
 */
export async function forgetSubject({ parts, writer }: Deps, command: ForgetCommand): Promise<ForgetReport> {
  const { reason, agent, meta, operationId } = command;
  const subject = subjectOf(command.subject);
  const origin = originOf({ agent, meta, operationId });
  if (reason !== undefined && (typeof reason !== 'string' || !reason.isWellFormed() || reason.length > MAX_REASON))
    throw invalidCommand(
      `reason must be a well-formed string of at most ${MAX_REASON.toLocaleString('en')} characters`,
    );
  const { ring } = parts.subjects;
  if (ring === undefined || parts.subjects.isBranch) throw notHere(ring);
  const known = (await ring.store.list()).find((each) => each.subject === subject);
  const record = parts.registry.record(FORGOTTEN_NAMESPACE, subject);
  const recorded = record && recordedIn(record);
  if (known === undefined && recorded === undefined) throw unknownSubject(subject);
  const keys = [...new Set([...(known === undefined ? [] : [known.id]), ...(recorded?.keys ?? [])])];
  let position = parts.registry.lastChange(FORGOTTEN_NAMESPACE);
  if (recorded === undefined) {
    const admitted = admit({ keys, reason });
    const step = { operation: 'set', key: subject, expiresAt: null, ifVersion: UNCONDITIONAL, ...admitted } as const;
    const request = new Request('context.set', FORGOTTEN_NAMESPACE, parts.door.now(), origin, step);
    ({ position } = await writer.execute(request));
  }
  parts.subjects.noteForgotten();
  parts.subjects.forget(subject, keys);
  await destroyed(ring, subject);
  const ids = new Set(keys);
  return { subject, position, ...(await entriesAbout(parts, ids)), ...(await publishedAbout(parts, ids)) };
}

/** Returns the subjects in the order of their names. */
export async function listSubjects({ parts }: Pick<Deps, 'parts'>): Promise<SubjectInfo[]> {
  const subjects = new Map<string, SubjectInfo>();
  for (const { subject, createdAt, forgottenAt } of (await parts.subjects.ring?.store.list()) ?? [])
    subjects.set(subject, { subject, createdAt, forgottenAt });
  for (const [subject, { at, reason, agent }] of recordsOf(parts)) {
    const createdAt = subjects.get(subject)?.createdAt ?? null;
    subjects.set(subject, {
      ...{ subject, createdAt, forgottenAt: at },
      ...(reason === undefined ? {} : { reason }),
      ...(agent === null ? {} : { agent }),
    });
  }
  return [...subjects.values()].sort((a, b) => (a.subject < b.subject ? -1 : 1));
}

interface Recorded {
  readonly keys: readonly string[];
  readonly reason: string | undefined;
  readonly at: number;
  readonly agent: string | null;
}

/** Returns the records of forgotten subjects. */
function recordsOf({ registry }: Engine): Map<string, Recorded> {
  const records = new Map<string, Recorded>();
  if (!registry.has(FORGOTTEN_NAMESPACE)) return records;
  const state = registry.stateInMemory(FORGOTTEN_NAMESPACE) ?? registry.stateOnDisk(FORGOTTEN_NAMESPACE);
  for (const [subject, record] of state?.entries ?? []) records.set(subject, recordedIn(record));
  return records;
}

function recordedIn({ value, updatedAt, agent }: Pick<EntryRecord, 'value' | 'updatedAt' | 'agent'>): Recorded {
  const { keys = [], reason } = (value ?? {}) as { readonly keys?: readonly string[]; readonly reason?: string };
  return { keys, reason, at: updatedAt, agent };
}

async function destroyed({ store }: KeyRing, subject: string): Promise<void> {
  try {
    await store.destroy(subject);
  } catch (thrown) {
    const message = `The subject ${JSON.stringify(subject)} is forgotten in this cache, but the key store could not destroy its key: `;
    const error = toError(thrown);
    throw new ContextCacheError('KEY_UNAVAILABLE', `${message}${error.message} Call forget again.`, { cause: error });
  }
}

async function entriesAbout(
  { registry, clock }: Engine,
  keys: ReadonlySet<string>,
): Promise<Pick<ForgetReport, 'entries' | 'namespaces'>> {
  const slice = new TimeSlice(clock);
  const namespaces = new Set<string>();
  let entries = 0;
  for (const name of [...registry.names()]) {
    if (!registry.has(name)) continue;
    const state = registry.stateInMemory(name) ?? registry.stateOnDisk(name);
    for (const [, { value }] of state?.entries ?? []) {
      if (!isAbout(value, keys)) continue;
      entries += 1;
      namespaces.add(name);
    }
    if (slice.over) await slice.pause();
  }
  return { entries, namespaces: [...namespaces].sort() };
}

async function publishedAbout(
  { log, topics, clock }: Engine,
  keys: ReadonlySet<string>,
): Promise<Pick<ForgetReport, 'published' | 'publishedSince'>> {
  const sent = log.checkpoints().find(({ name }) => name === FOLLOWER.broadcaster)?.checkpoint ?? 0;
  const found = new Map<string, { topic: string; updates: number; positions: number[] }>();
  const slice = new TimeSlice(clock);
  const publishedSince = log.first;
  const last = Math.min(sent, log.committed);
  if (last >= publishedSince && topics.size > 0) {
    for await (const updates of log.read(publishedSince, last)) {
      for (const { position, value } of updates) {
        if (!isAbout(value, keys)) continue;
        for (const topic of topics.at(position)) {
          const about = found.get(topic) ?? { topic, updates: 0, positions: [] };
          found.set(topic, about);
          about.updates += 1;
          if (about.positions.length < MAX_POSITIONS) about.positions.push(position);
        }
      }
      if (slice.over) await slice.pause();
    }
  }
  return { published: [...found.values()], publishedSince };
}

function isAbout(value: JsonValue | undefined, keys: ReadonlySet<string>): boolean {
  return isSealed(value) && value[SEALED].parts.some(([, keyId]) => keys.has(keyId));
}

function notHere(ring: KeyRing | undefined): ContextCacheError {
  if (ring === undefined)
    return new ContextCacheError(
      'INVALID_OPTION',
      'forget needs the option subjects of the cache (--subject-keys): the store of the keys.',
    );
  const message = 'A branch reads with the keys of its parent and must not destroy them. Call forget on the parent.';
  return new ContextCacheError('FORBIDDEN', message);
}

function unknownSubject(subject: string): ContextCacheError {
  const message = `There is no subject ${JSON.stringify(subject)} in the key store. Check the spelling with subjects().`;
  return new ContextCacheError('NOT_FOUND', message);
}
