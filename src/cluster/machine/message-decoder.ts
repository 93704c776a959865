import { crc32 } from 'node:zlib';
import { basisOf } from '../../core/basis.ts';
import { SAME_EXPIRY, type Step } from '../../core/command.ts';
import { ANY_VERSION, UNCONDITIONAL } from '../../core/conditions.ts';
import { MessageReader } from '../../core/encoding/message-reader.ts';
import { ContextCacheError } from '../../core/errors.ts';
import type { Meta } from '../../core/meta.ts';
import type { Origin } from '../../core/origin.ts';
import { Request } from '../../core/request.ts';
import type { JsonValue } from '../../core/value.ts';
import type { Command, Message } from './commands.ts';
import { FLAG, KIND, MAX_COMMANDS, MESSAGE_FORMAT, OPERATIONS } from './message-format.ts';

/** A message whose commands are not decoded yet. */
export interface Opened extends Omit<Message, 'commands'> {
  readonly checksum: number;
  readonly bytes: Buffer;
  /** Index of the commands. */
  readonly start: number;
}

/** The length of the checksum, an integer of 32 bits. */
const CHECKSUM_BYTES = 5;

const reader = new MessageReader(true);

/**
 * Checks a message and decodes who has sent it. Returns `undefined` if the bytes are no message: cut off, changed, or of
 * another program. Every node sees the same bytes, so every node ignores them.
 *
 * @throws {ContextCacheError} `FORMAT_UNSUPPORTED` for a message of another format.
 */
export function openMessage(data: Uint8Array): Opened | undefined {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return attempt(() => {
    reader.begin(bytes);
    const fields = reader.array();
    // Before the checksum, which another format may not have.
    const format = count();
    if (format !== MESSAGE_FORMAT) throw unsupported(format);
    if (fields !== 7 || !isIntact(bytes)) throw malformed();
    const session = reader.text();
    const counter = count();
    const seenSequence = count();
    const seenHash = count();
    if (counter === 0) throw malformed();
    const checksum = bytes.readUInt32BE(bytes.length - CHECKSUM_BYTES + 1);
    return { session, counter, seenSequence, seenHash, checksum, bytes, start: reader.at };
  });
}

/**
 * Decodes the commands of a message. Requests get the instant `at`, and what expires some time after a command expires as
 * long after it. Returns `undefined` if the message has another form.
 */
export function commandsOf({ bytes, start }: Opened, at: number): Command[] | undefined {
  return attempt(() => {
    reader.begin(bytes, start);
    const length = reader.array();
    if (length > MAX_COMMANDS) throw malformed();
    const commands: Command[] = [];
    for (let i = 0; i < length; i += 1) commands.push(command(at));
    if (reader.at !== bytes.length - CHECKSUM_BYTES) throw malformed();
    return commands;
  });
}

function attempt<Result>(run: () => Result): Result | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function isIntact(bytes: Buffer): boolean {
  const end = bytes.length - CHECKSUM_BYTES;
  return end > 0 && bytes[end] === 0xce && bytes.readUInt32BE(end + 1) === crc32(bytes.subarray(0, end));
}

function unsupported(format: number): ContextCacheError {
  const message = `The stream has a message of format ${format}, and this version reads format ${MESSAGE_FORMAT}.`;
  return new ContextCacheError(
    'FORMAT_UNSUPPORTED',
    `${message} Install the version of the package that the other nodes have.`,
  );
}

function command(at: number): Command {
  const fields = reader.array();
  const kind = reader.number();
  if (fields !== FIELDS.get(kind)) throw malformed();
  if (kind < KIND.transaction) return request(kind, at);
  switch (kind) {
    case KIND.transaction:
      return transaction(at);
    case KIND.noop:
      return NOOP;
    case KIND.hello: {
      const [node, version] = [reader.text(), reader.text()];
      const [minProtocol, maxProtocol] = [count(), count()];
      return { type: 'hello', node, version, minProtocol, maxProtocol, predecessor: reader.textOrNull() };
    }
    case KIND.lease:
      return { type: 'lease', name: reader.text(), forMs: count() };
    case KIND.checkpoint:
      return { type: 'checkpoint', name: reader.text(), position: count() };
    case KIND.config:
      return { type: 'config', name: reader.text(), value: reader.value(true) as JsonValue };
    case KIND.protocol:
      return { type: 'protocol', protocol: count() };
    case KIND.leave:
      return LEAVE;
    default:
      return { type: 'begin', position: count(), time: count(), hash: count() };
  }
}

const NOOP = { type: 'noop' } as const;
const LEAVE = { type: 'leave' } as const;

/** Number of fields of each kind. */
const FIELDS: ReadonlyMap<number, number> = new Map([
  [KIND.set, 9],
  [KIND.delete, 5],
  [KIND.touch, 6],
  [KIND.increment, 7],
  [KIND.append, 7],
  [KIND.clear, 4],
  [KIND.drop, 3],
  [KIND.batch, 4],
  [KIND.transaction, 3],
  [KIND.noop, 1],
  [KIND.hello, 6],
  [KIND.lease, 3],
  [KIND.checkpoint, 3],
  [KIND.config, 3],
  [KIND.protocol, 2],
  [KIND.begin, 4],
  [KIND.leave, 1],
]);

function request(kind: number, at: number): Request {
  const namespace = reader.text();
  const from = origin();
  switch (kind) {
    case KIND.set: {
      const key = reader.text();
      const ifVersion = condition();
      const expiresAt = expiry(at);
      const bytes = count();
      const ifDifferent = flags(FLAG.ifDifferent) !== 0;
      const value = reader.value(true) as JsonValue;
      const step = { operation: 'set', key, value, bytes, expiresAt, ifVersion, ifDifferent } as const;
      return new Request('context.set', namespace, at, from, step);
    }
    case KIND.delete: {
      const step = { operation: 'delete', key: reader.text(), ifVersion: condition(), ...NOTHING } as const;
      return new Request('context.delete', namespace, at, from, step);
    }
    case KIND.touch: {
      const [key, ifVersion, expiresAt] = [reader.text(), condition(), expiry(at)];
      const step = { operation: 'touch', key, value: null, bytes: 0, expiresAt, ifVersion } as const;
      return new Request('context.touch', namespace, at, from, step);
    }
    case KIND.increment: {
      const [key, ifVersion, expiresAt] = [reader.text(), condition(), expiry(at)];
      const step = { operation: 'set', key, value: reader.number(), bytes: 8, expiresAt, ifVersion } as const;
      return new Request('context.increment', namespace, at, from, step);
    }
    case KIND.append: {
      const [key, expiresAt, bytes] = [reader.text(), expiry(at), count()];
      const value = reader.value(true) as JsonValue;
      const step = { operation: 'set', key, value, bytes, expiresAt, ifVersion: UNCONDITIONAL } as const;
      return new Request('context.append', namespace, at, from, step);
    }
    case KIND.clear:
      return Request.ofWhole('context.clear', namespace, at, from, null, reader.text());
    case KIND.drop:
      return Request.ofWhole('context.drop', namespace, at, from);
    default:
      return Request.ofWhole('context.batch', namespace, at, from, steps(at));
  }
}

const NOTHING = { value: null, bytes: 0, expiresAt: null } as const;

function transaction(at: number): Command {
  const from = origin();
  const length = reader.array();
  if (length % 2 !== 0) throw malformed();
  const parts: Request[] = [];
  for (let i = 0; i < length; i += 2) {
    parts.push(Request.ofWhole('context.transaction', reader.text(), at, from, steps(at)));
  }
  return { type: 'transaction', parts };
}

function steps(at: number): Step[] {
  const length = reader.array();
  const all: Step[] = [];
  for (let i = 0; i < length; i += 1) all.push(step(at));
  return all;
}

function step(at: number): Step {
  const fields = reader.array();
  const operation = OPERATIONS[reader.number()];
  const plain = operation === 'set' ? 7 : 5;
  if (operation === undefined || fields < plain || fields > plain + 1) throw malformed();
  const key = reader.text();
  const ifVersion = condition();
  const bits = flags(FLAG.isCheck | FLAG.ifDifferent | FLAG.skips);
  const expiresAt = expiry(at);
  const bytes = operation === 'set' ? count() : 0;
  const value = operation === 'set' ? (reader.value(true) as JsonValue) : null;
  return {
    ...{ operation, key, value, bytes, expiresAt, ifVersion },
    isCheck: (bits & FLAG.isCheck) !== 0,
    ifDifferent: (bits & FLAG.ifDifferent) !== 0,
    skips: (bits & FLAG.skips) !== 0,
    ...(fields > plain && ownOfStep()),
  };
}

/** Reads what a step has besides the origin of its command. */
function ownOfStep(): Pick<Step, 'agent' | 'meta' | 'basis'> {
  if (reader.array() !== 3) throw malformed();
  const agent = reader.textOrNull() ?? undefined;
  const meta = metaOrNull();
  const basis = reader.value(true) ?? undefined;
  return { agent, meta, basis: basis === undefined ? undefined : basisOf(basis) };
}

function metaOrNull(): Meta | undefined {
  const meta = reader.value(true) ?? undefined;
  if (meta !== undefined && (typeof meta !== 'object' || Array.isArray(meta))) throw malformed();
  return meta as Meta | undefined;
}

function origin(): Origin {
  if (!reader.isAtArray) return { agent: reader.textOrNull(), meta: undefined, operationId: undefined };
  const fields = reader.array();
  if (fields !== 2 && fields !== 3 && fields !== 5) throw malformed();
  const agent = reader.textOrNull();
  const named = { agent, meta: metaOrNull() };
  if (fields < 5) return { ...named, operationId: fields === 3 ? reader.text() : undefined };
  const operationId = reader.textOrNull() ?? undefined;
  // A command has no hash: its updates get one.
  if (reader.numberOrNull() !== null) throw malformed();
  return { ...named, operationId, basis: basisOf(reader.value(true)) };
}

function condition(): number {
  const version = reader.number();
  if (!Number.isSafeInteger(version) || version < ANY_VERSION) throw malformed();
  return version;
}

function expiry(at: number): number | null {
  const expiresAt = reader.numberOrNull();
  if (expiresAt === null || expiresAt >= SAME_EXPIRY) return expiresAt;
  return at - 1 - expiresAt;
}

function flags(known: number): number {
  const bits = count();
  if ((bits & ~known) !== 0) throw malformed();
  return bits;
}

/** Reads an integer from 0 up. */
function count(): number {
  const number = reader.number();
  if (!Number.isSafeInteger(number) || number < 0) throw malformed();
  return number;
}

function malformed(): RangeError {
  return new RangeError('The message has an unexpected form');
}
