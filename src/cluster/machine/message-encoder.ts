import { crc32 } from 'node:zlib';
import { storedBasis } from '../../core/basis.ts';
import { SAME_EXPIRY, type Step } from '../../core/command.ts';
import { MessageWriter } from '../../core/encoding/message-writer.ts';
import { writeOrigin } from '../../core/encoding/origin-codec.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { UNTIMED } from '../../core/expiry.ts';
import { Request } from '../../core/request.ts';
import type { ClusterCommand, Command, Message } from './commands.ts';
import { FLAG, KIND, MAX_COMMANDS, MAX_MESSAGE_BYTES, MESSAGE_FORMAT, OPERATIONS } from './message-format.ts';

/** A message without its commands. */
export type Heading = Omit<Message, 'commands'>;

const DATA_KIND: Readonly<Record<Request['type'], number>> = {
  'context.set': KIND.set,
  'context.delete': KIND.delete,
  'context.touch': KIND.touch,
  'context.increment': KIND.increment,
  'context.append': KIND.append,
  'context.clear': KIND.clear,
  'context.drop': KIND.drop,
  'context.batch': KIND.batch,
  'context.transaction': KIND.transaction,
};

/** The checksum as a MessagePack integer of 32 bits, so that its length is always the same. */
const CHECKSUM = Buffer.from([0xce, 0, 0, 0, 0]);

const writer = new MessageWriter();
const commandWriter = new MessageWriter();

/**
 * Encodes commands from `from` on as one message, as many as fit into `maxBytes`, or one that is larger. Returns the bytes
 * and the index of the first command that is left. See `docs/formats.md`.
 */
export function encodeMessage(
  heading: Heading,
  commands: readonly Command[],
  { from = 0, maxBytes = MAX_MESSAGE_BYTES }: { readonly from?: number; readonly maxBytes?: number } = {},
): { readonly bytes: Buffer; readonly next: number } {
  commandWriter.begin();
  let next = from;
  while (next < commands.length && next - from < MAX_COMMANDS) {
    const before = commandWriter.length;
    writeCommand(commandWriter, commands[next] as Command);
    if (commandWriter.length > maxBytes && next > from) {
      const fitting = Buffer.from(commandWriter.peek().subarray(0, before));
      return { bytes: messageOf(heading, next - from, fitting), next };
    }
    next += 1;
  }
  return { bytes: messageOf(heading, next - from, commandWriter.peek()), next };
}

function messageOf({ session, counter, seenSequence, seenHash }: Heading, count: number, commands: Buffer): Buffer {
  writer.begin();
  writer.array(7);
  writer.number(MESSAGE_FORMAT);
  writer.text(session);
  writer.number(counter);
  writer.number(seenSequence);
  writer.number(seenHash);
  writer.array(count);
  writer.raw(commands);
  CHECKSUM.writeUInt32BE(crc32(writer.peek()), 1);
  writer.raw(CHECKSUM);
  return writer.end();
}

function writeCommand(to: MessageWriter, command: Command): void {
  if (command instanceof Request) writeRequest(to, command);
  else if (command.type === 'transaction') {
    const [first] = command.parts;
    to.array(3);
    to.number(KIND.transaction);
    writeOrigin(to, first ?? { agent: null });
    to.array(2 * command.parts.length);
    for (const { namespace, steps } of command.parts) {
      to.text(namespace);
      writeSteps(to, steps ?? []);
    }
  } else writeClusterCommand(to, command);
}

function writeRequest(to: MessageWriter, request: Request): void {
  const { type, namespace, key } = request;
  if (request.finish !== undefined || type === 'context.transaction') throw notSendable(type);
  to.array(FIELDS[type]);
  to.number(DATA_KIND[type]);
  to.text(namespace);
  writeOrigin(to, request);
  switch (type) {
    case 'context.set':
      to.text(key);
      to.number(request.ifVersion);
      writeExpiry(to, request.expiresAt);
      to.number(request.bytes);
      to.number(request.ifDifferent ? FLAG.ifDifferent : 0);
      to.value(request.value);
      return;
    case 'context.delete':
      to.text(key);
      to.number(request.ifVersion);
      return;
    case 'context.touch':
      to.text(key);
      to.number(request.ifVersion);
      writeExpiry(to, request.expiresAt);
      return;
    case 'context.increment':
      to.text(key);
      to.number(request.ifVersion);
      writeExpiry(to, request.expiresAt);
      to.number(request.value as number);
      return;
    case 'context.append':
      to.text(key);
      writeExpiry(to, request.expiresAt);
      to.number(request.bytes);
      to.value(request.value);
      return;
    case 'context.clear':
      to.text(key);
      return;
    case 'context.drop':
      return;
    case 'context.batch':
      writeSteps(to, request.steps ?? []);
  }
}

/** Number of fields of each data command, with its kind. */
const FIELDS: Readonly<Record<Exclude<Request['type'], 'context.transaction'>, number>> = {
  'context.set': 9,
  'context.delete': 5,
  'context.touch': 6,
  'context.increment': 7,
  'context.append': 7,
  'context.clear': 4,
  'context.drop': 3,
  'context.batch': 4,
};

function writeSteps(to: MessageWriter, steps: readonly Step[]): void {
  to.array(steps.length);
  for (const step of steps) {
    if (step.finish !== undefined) throw notSendable('a merge');
    const isSet = step.operation === 'set';
    const isOwn = step.agent !== undefined || step.meta !== undefined || step.basis !== undefined;
    to.array((isSet ? 7 : 5) + (isOwn ? 1 : 0));
    to.number(OPERATIONS.indexOf(step.operation));
    to.text(step.key);
    to.number(step.ifVersion);
    to.number(flagsOf(step));
    writeExpiry(to, step.expiresAt);
    if (isSet) {
      to.number(step.bytes);
      to.value(step.value);
    }
    if (isOwn) writeOwn(to, step);
  }
}

/** Writes what a step has besides the origin of its command: its agent, its `meta` and its basis, nil for what is that of the command. */
function writeOwn(to: MessageWriter, { agent, meta, basis }: Step): void {
  to.array(3);
  to.value(agent);
  to.value(meta);
  to.value(basis === undefined ? undefined : storedBasis(basis));
}

function flagsOf({ isCheck, ifDifferent, skips }: Step): number {
  return (isCheck ? FLAG.isCheck : 0) | (ifDifferent ? FLAG.ifDifferent : 0) | (skips ? FLAG.skips : 0);
}

/** Writes nil for never, an instant, -1 for that of the present entry, or a duration as `-1 - duration`. */
function writeExpiry(to: MessageWriter, expiresAt: number | null): void {
  if (expiresAt === null) to.nil();
  else to.number(expiresAt >= SAME_EXPIRY ? expiresAt : UNTIMED - 1 - expiresAt);
}

function writeClusterCommand(to: MessageWriter, command: ClusterCommand): void {
  switch (command.type) {
    case 'noop':
      to.value([KIND.noop]);
      return;
    case 'hello': {
      const { node, version, minProtocol, maxProtocol, predecessor } = command;
      to.value([KIND.hello, node, version, minProtocol, maxProtocol, predecessor]);
      return;
    }
    case 'lease':
      to.value([KIND.lease, command.name, command.forMs]);
      return;
    case 'checkpoint':
      to.value([KIND.checkpoint, command.name, command.position]);
      return;
    case 'config':
      to.value([KIND.config, command.name, command.value]);
      return;
    case 'protocol':
      to.value([KIND.protocol, command.protocol]);
      return;
    case 'begin':
      to.value([KIND.begin, command.position, command.time, command.hash]);
      return;
    case 'leave':
      to.value([KIND.leave]);
  }
}

function notSendable(what: string): ContextCacheError {
  return new ContextCacheError('INVALID_COMMAND', `A cluster cannot order ${what}. Use set, or a batch.`);
}
