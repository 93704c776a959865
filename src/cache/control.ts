import { isDataCommand, isQueryCommand, parseCommand } from '../core/admission.ts';
import type { ContextCommand, ControlCommand, QueryCommand } from '../core/command.ts';
import { ContextCacheError } from '../core/errors.ts';
import { checkName, DEFAULT_NAMESPACE } from '../core/names.ts';
import type { Entry } from '../core/namespace-state.ts';
import { openedError } from '../core/opened.ts';
import { RANGE_NAMES, type RangeOptions } from '../core/range.ts';
import { whenKeyed } from '../core/sealed.ts';
import type { WriteTarget } from '../core/trace.ts';
import type { ChangesReader } from '../engine/changes-reader.ts';
import { durationOf } from '../engine/durations.ts';
import { type Engine, FOLLOWER } from '../engine/engine.ts';
import type { CacheHealth } from '../engine/health.ts';
import type { Reader } from '../engine/reader.ts';
import type { Settings } from '../engine/settings.ts';
import type { TraceReader } from '../engine/trace-reader.ts';
import { executeTransaction, type TransactionDeps } from '../engine/transactions.ts';
import type { Writer } from '../engine/writer.ts';
import { type RetractDeps, retract } from '../past/retract.ts';
import type { PastSource } from '../storage/past-source.ts';
import type { Verifier } from '../verify/verify.ts';
import { flush } from './flush.ts';
import { forgetSubject, listSubjects } from './forget.ts';
import type { HandleParts } from './namespace-handle.ts';
import { reachedInTime } from './reached.ts';

/** The parts that execute commands. */
export interface ControlDeps {
  readonly parts: Engine;
  readonly reader: Reader;
  readonly readWith: HandleParts['readWith'];
  readonly entryWith: HandleParts['entryWith'];
  readonly changes: ChangesReader;
  readonly trace: TraceReader;
  readonly past: PastSource;
  readonly writer: Writer;
  readonly settings: Settings;
  readonly verifier: Verifier;
  readonly health: () => CacheHealth;
}

/** The parts that execute commands that only read. */
export interface QueryDeps {
  readonly reader: Pick<
    Reader,
    'get' | 'has' | 'entry' | 'keys' | 'entries' | 'entriesInOrder' | 'namespaces' | 'search'
  >;
  readonly readWith: HandleParts['readWith'];
  readonly entryWith: HandleParts['entryWith'];
  readonly changes: Pick<ChangesReader, 'read'>;
  readonly trace: Pick<TraceReader, 'provenance' | 'impact' | 'contradictions'>;
}

/** Executes a command and returns its answer, the same as the method of that name. */
export async function answer(deps: ControlDeps, candidate: ContextCommand): Promise<unknown> {
  const command = parseCommand(candidate);
  const { parts, writer } = deps;
  if (isDataCommand(command))
    return whenKeyed(() => writer.execute(parts.admission.request(parts.door.now(), command)));
  if (isQueryCommand(command)) return answerQuery(deps, command);
  return parts.activity.control(command.type, () => answerControl(deps, command as ControlCommand));
}

/** Returns the command's namespace; `default` if it is left out. */
function namespaceOf({ namespace = DEFAULT_NAMESPACE }: { readonly namespace?: string | undefined }): string {
  return namespace;
}

/** Executes a command that only reads. */
export function answerQuery(deps: QueryDeps, command: QueryCommand): unknown {
  const { reader, readWith, entryWith, changes, trace } = deps;
  switch (command.type) {
    case 'context.get': {
      const { key, maxStalenessMs } = command;
      if (maxStalenessMs !== undefined) return readWith(key, namespaceOf(command), { maxStalenessMs });
      return reader.get(key, namespaceOf(command));
    }
    case 'context.has':
      return reader.has(command.key, namespaceOf(command));
    case 'context.entry': {
      const { key, maxStalenessMs } = command;
      if (maxStalenessMs !== undefined) return entryWith(key, namespaceOf(command), { maxStalenessMs });
      return reader.entry(key, namespaceOf(command));
    }
    case 'context.keys':
      return reader.keys(namespaceOf(command), rangeOptionsOf(command));
    case 'context.entries':
      return allEntries(reader, namespaceOf(command), rangeOptionsOf(command));
    case 'context.namespaces':
      return reader.namespaces(rangeOptionsOf(command));
    case 'context.changes': {
      const { type: _, ...options } = command;
      return changes.read(options);
    }
    case 'context.search': {
      const { type: _, ...options } = command;
      return reader.search(options);
    }
    case 'context.provenance':
      return trace.provenance(command.key, namespaceOf(command), command);
    case 'context.contradictions': {
      const { type: _, ...options } = command;
      return trace.contradictions(options);
    }
    case 'context.impact':
      return trace.impact(writeTargetOf(command), command);
  }
}

/** Returns the write that a command is about. */
function writeTargetOf({ position, key, namespace }: Extract<QueryCommand, { type: 'context.impact' }>): WriteTarget {
  if ((position === undefined) === (key === undefined) || (position !== undefined && namespace !== undefined))
    throw new ContextCacheError('INVALID_COMMAND', 'Give the position of a write, or a key and its namespace.');
  return position ?? { key: key as string, namespace };
}

/** Returns the options of a read in order; `undefined` if the command has none. */
function rangeOptionsOf(command: RangeOptions): RangeOptions | undefined {
  const given = RANGE_NAMES.filter((name) => command[name] !== undefined);
  return given.length === 0 ? undefined : Object.fromEntries(given.map((name) => [name, command[name]]));
}

async function allEntries(
  reader: QueryDeps['reader'],
  namespace: string,
  options: RangeOptions | undefined,
): Promise<Entry[]> {
  if (options === undefined) return reader.entries(namespace);
  const entries: Entry[] = [];
  for await (const entry of reader.entriesInOrder(namespace, options)) entries.push(entry);
  return entries;
}

async function answerControl(deps: ControlDeps, command: ControlCommand): Promise<unknown> {
  const { parts, settings, verifier, health, writer } = deps;
  switch (command.type) {
    case 'context.transaction': {
      const { operations, agent, meta, operationId, basis } = command;
      const origin = { agent, meta, operationId, basis };
      const execute = () => executeTransaction(transactionDeps(deps), operations, origin);
      const result = await whenKeyed(execute).catch((error) => {
        throw openedError(parts.reading, error);
      });
      await writer.whenDurable(result.position);
      return result;
    }
    case 'context.retract': {
      const { position, type: _, ...options } = command;
      return retract(retractDeps(deps), position, options);
    }
    case 'grants.set':
      await parts.access.set(command.grants);
      return parts.access.list;
    case 'grants.add':
      await parts.access.add(command.grant);
      return parts.access.list;
    case 'grants.remove':
      await parts.access.remove(command.agent);
      return parts.access.list;
    case 'grants.list':
      return parts.access.list;
    case 'topics.set':
      await settings.setTopicsList(command.topics);
      return settings.getTopicsList();
    case 'topics.add':
      await settings.addTopic(command.topic);
      return settings.getTopicsList();
    case 'topics.remove':
      await settings.removeTopic(command.topic);
      return settings.getTopicsList();
    case 'topics.list':
      return settings.getTopicsList();
    case 'context.backup':
      return settings.backupNow();
    case 'backup.enable':
      await settings.enableBackup(command.settings);
      return settings.getBackupSettings();
    case 'backup.disable':
      await settings.disableBackup();
      return settings.getBackupSettings();
    case 'backup.set':
      await settings.setBackupSettings(command.settings);
      return settings.getBackupSettings();
    case 'backup.status':
      return settings.getBackupStatus();
    case 'namespace.passivate':
      return passivate(parts, command.namespace);
    case 'namespace.restart':
      checkName('namespace', command.namespace);
      return parts.supervisor.restart(command.namespace);
    case 'cache.compact': {
      const { keepUpdates, keepMs, keepBytes, forget } = command;
      return parts.retention.compact({ keepUpdates, keepMs: durationOf('keepMs', keepMs), keepBytes, forget });
    }
    case 'subjects.forget':
      return forgetSubject(deps, command);
    case 'subjects.list':
      return listSubjects(deps);
    case 'cache.flush':
      return flush(parts);
    case 'cache.barrier':
      return parts.sequencer?.barrier();
    case 'cache.reached':
      return reachedInTime(parts, command);
    case 'cluster.raise':
      return raiseProtocol(parts, command.protocol);
    case 'cache.health':
      return health();
    case 'cache.verify':
      return verifier.verify({ against: targetOf(command.against), repair: checkedRepair(command.repair) });
  }
}

/** Returns the parts of the cache that a transaction uses. */
function transactionDeps({ parts, writer }: Pick<ControlDeps, 'parts' | 'writer'>): TransactionDeps {
  const { activity, admission, door, conflicts, log, primary, registry, supervisor, sequencer } = parts;
  const of = { activity, admission, door, conflicts, log, primary, registry, supervisor, sequencer };
  return { ...of, send: (request) => writer.send(request) };
}

/** Raises the protocol of the cluster that this cache is a node of. */
async function raiseProtocol({ sequencer }: Engine, protocol: unknown): Promise<{ readonly protocol: number }> {
  if (sequencer === undefined) {
    const message =
      'This cache is no node of a cluster, so it has no protocol to raise. Open it with the option cluster.';
    throw new ContextCacheError('INVALID_COMMAND', message);
  }
  if (protocol !== undefined && !(Number.isSafeInteger(protocol) && (protocol as number) >= 1)) {
    throw new ContextCacheError('INVALID_COMMAND', 'protocol is an integer from 1. Leave it out for the highest one.');
  }
  return { protocol: await sequencer.raise(protocol as number | undefined) };
}

/** Returns the parts of the cache that a retraction uses. */
function retractDeps({ parts, past, trace, writer }: ControlDeps): RetractDeps {
  const { access, clock } = parts;
  return {
    ...transactionDeps({ parts, writer }),
    ...{ access, clock, past, trace },
    settle: () => flush(parts),
    whenDurable: (position) => writer.whenDurable(position),
  };
}

/** Returns the `against` of a command. A command is plain data, so it cannot hold a store or a backend. */
function targetOf(against: unknown): string | undefined {
  if (against === undefined || (typeof against === 'string' && against !== '')) return against;
  throw new ContextCacheError('INVALID_COMMAND', 'against must be a redis:// URL or the path of a directory.');
}

function checkedRepair(repair: unknown): boolean | undefined {
  if (repair === undefined || typeof repair === 'boolean') return repair;
  throw new ContextCacheError('INVALID_COMMAND', 'repair must be true or false.');
}

/** Passivates a namespace. Resolves with whether it is out of memory now. */
async function passivate(parts: Engine, namespace: string): Promise<boolean> {
  checkName('namespace', namespace);
  if (!parts.registry.has(namespace)) return false;
  if (parts.registry.stateInMemory(namespace) === undefined) return true;
  await parts.caughtUp([FOLLOWER.index]);
  const record = parts.registry.find(namespace);
  return record !== undefined && parts.supervisor.passivateOne(record);
}
