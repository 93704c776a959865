import type { Basis } from './basis.ts';
import type { Meta } from './meta.ts';
import type { RetractionFields } from './retraction.ts';
import type { SealedFields } from './sealed.ts';
import type { JsonValue } from './value.ts';

/**
 * All operations. The first three are the names of the public message. The order is part of the log's format on disk:
 * a new one goes to the end.
 */
export const OPERATIONS = Object.freeze([
  'set',
  'delete',
  'clear_namespace',
  'expire',
  'evict',
  'touch',
  'clear',
] as const);

/** Kind of an update. */
export type Operation = (typeof OPERATIONS)[number];

/**
 * An update: one change of one namespace, at one position of the log. Folding the updates with `apply` gives the state;
 * everything that shows, keeps or follows the cache uses them.
 */
export interface Update extends SealedFields, RetractionFields {
  /** Position in the whole log: 1, 2, 3, … without a gap. */
  readonly position: number;
  readonly namespace: string;
  /**
   * Version of the namespace after this update: 1, 2, 3, … without a gap. The versions of a namespace that came into being after
   * one was dropped begin above the highest version that a dropped namespace has had, so none comes twice.
   */
  readonly version: number;
  readonly operation: Operation;
  /** `null` for `clear_namespace` and `clear`. */
  readonly key: string | null;
  /** The new value of a `set`; `null` for every other operation. */
  readonly value: JsonValue;
  /** Instant of the command, epoch milliseconds. */
  readonly at: number;
  /** Agent of the command; `null`: none was named. */
  readonly agent: string | null;
  /** Instant at which the entry expires, epoch milliseconds; for `set` and `touch`. `null`: never. */
  readonly expiresAt: number | null;
  /** Version of the entry that this update replaced; 0 if the key was missing, and for `clear_namespace` and `clear`. */
  readonly replaced: number;
  /** `true` if a `clear_namespace` also removes the namespace. The next update of that name then `begins` it. */
  readonly drop: boolean;
  /** Estimated bytes of `value`, or of `keys`. */
  readonly bytes: number;
  /** `true` if the namespace did not exist before and its versions begin above 1; absent for any other update. */
  readonly begins?: true | undefined;
  /** The keys that a `clear` removed, in order, each once; absent for every other operation. */
  readonly keys?: readonly string[] | undefined;
  /** JSON object that the writer attached; absent: none. */
  readonly meta?: Meta | undefined;
  /** Id of the operation that the update belongs to; absent: none was given. */
  readonly operationId?: string | undefined;
  /**
   * Hash of what the writer asked for, 48 bits: of an `increment`, an `append` or a clear of a prefix with an operation id,
   * whose updates do not tell. Absent for any other update.
   */
  readonly commandHash?: number | undefined;
  /** What the writer had read; absent: not known. */
  readonly basis?: Basis | undefined;
}

/** An update that the log has not given a position yet. */
export type PendingUpdate = { -readonly [Field in keyof Update]: Update[Field] };

/** Fields of a new update. The default of an omitted field is `null`, 0 or `false`; those that may be absent stay so. */
export type NewUpdate = Pick<Update, 'namespace' | 'version' | 'operation' | 'at'> &
  Partial<Omit<Update, 'position' | keyof SealedFields | keyof RetractionFields>>;

/**
 * Creates an update without a position. Every update is created here, so that all without `meta`, operation id and `keys` have
 * one hidden class. Measured at the same speed as eleven positional arguments.
 */
export function createUpdate({
  namespace,
  version,
  operation,
  key = null,
  value = null,
  at,
  agent = null,
  expiresAt = null,
  replaced = 0,
  drop = false,
  bytes = 0,
  begins,
  keys,
  meta,
  operationId,
  commandHash,
  basis,
}: NewUpdate): PendingUpdate {
  const update: PendingUpdate = {
    position: 0,
    namespace,
    version,
    operation,
    key,
    value,
    at,
    agent,
    expiresAt,
    replaced,
    drop,
    bytes,
  };
  if (begins !== undefined) update.begins = begins;
  if (keys !== undefined) update.keys = keys;
  if (meta !== undefined) update.meta = meta;
  if (operationId !== undefined) update.operationId = operationId;
  if (commandHash !== undefined) update.commandHash = commandHash;
  if (basis !== undefined) update.basis = basis;
  return update;
}
