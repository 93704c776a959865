import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { STREAM_FORMAT } from '../../src/cluster/jetstream/stream-settings.ts';
import type { Command } from '../../src/cluster/machine/commands.ts';
import { commandsOf, type Opened, openMessage } from '../../src/cluster/machine/message-decoder.ts';
import { encodeMessage } from '../../src/cluster/machine/message-encoder.ts';
import { MAX_COMMANDS, MAX_MESSAGE_BYTES, MESSAGE_FORMAT } from '../../src/cluster/machine/message-format.ts';
import { encode } from '../../src/core/encoding/codec.ts';
import { UNTIMED } from '../../src/core/expiry.ts';
import { Request } from '../../src/core/request.ts';
import { commands } from '../support/cluster-commands.ts';
import { fcOptions } from '../support/property.ts';
import { door } from '../support/request.ts';

const HEADING = { session: 's-1', counter: 3, seenSequence: 17, seenHash: 0xfedcba98 };
const AT = 1_000;

const messages = fc.array(commands, { maxLength: 6 });

/** The command as it is at an instant, without what a request keeps about its execution. */
function plain(command: Command): unknown {
  if (command instanceof Request) return fieldsOf(command);
  if (command.type === 'transaction') return { ...command, parts: command.parts.map(fieldsOf) };
  return command;
}

function fieldsOf(request: Request): object {
  const { type, namespace, at, agent, meta, operationId, basis, operation, key, value, bytes, expiresAt } = request;
  const steps = request.steps?.map(({ isCheck, ifDifferent, skips, ...step }) => ({
    ...step,
    flags: [isCheck === true, ifDifferent === true, skips === true],
  }));
  const { ifVersion, ifDifferent } = request;
  return {
    ...{ type, namespace, at, agent, meta, operationId, basis, operation, key, value, bytes, expiresAt },
    ...{ ifVersion, ifDifferent, steps },
  };
}

function timed(command: Command): Command {
  if (command instanceof Request) return command.timed(AT);
  return command.type === 'transaction' ? { ...command, parts: command.parts.map((part) => part.timed(AT)) } : command;
}

type Decoded = Opened & { readonly commands: readonly Command[] };

function decodeMessage(bytes: Uint8Array): Decoded | undefined {
  const opened = openMessage(bytes);
  const all = opened && commandsOf(opened, AT);
  return opened && all && { ...opened, commands: all };
}

function decoded(bytes: Uint8Array): Decoded | undefined {
  try {
    return decodeMessage(bytes);
  } catch (error) {
    expect(error).toMatchObject({ code: 'FORMAT_UNSUPPORTED' });
    return undefined;
  }
}

describe('the message of a cluster', () => {
  test('is read as it was written, with the instant of the stream', () => {
    fc.assert(
      fc.property(messages, (all) => {
        const { bytes, next } = encodeMessage(HEADING, all);
        const message = decodeMessage(bytes);
        expect(next).toBe(all.length);
        expect(message).toMatchObject(HEADING);
        expect(message?.commands.map(plain)).toEqual(all.map(timed).map(plain));
      }),
      fcOptions(300),
    );
  });

  test('is refused if it is cut off anywhere', () => {
    fc.assert(
      fc.property(messages, (all) => {
        const { bytes } = encodeMessage(HEADING, all);
        for (let end = 0; end < bytes.length; end += 1) expect(decoded(bytes.subarray(0, end))).toBeUndefined();
      }),
      fcOptions(10),
    );
  });

  test('is refused if a bit of it is changed', () => {
    fc.assert(
      fc.property(messages, (all) => {
        const { bytes } = encodeMessage(HEADING, all);
        for (let bit = 0; bit < 8 * bytes.length; bit += 1) {
          const changed = Buffer.from(bytes);
          changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
          expect(decoded(changed)).toBeUndefined();
        }
      }),
      fcOptions(5),
    );
  });

  test('is refused if other bytes follow', () => {
    const { bytes } = encodeMessage(HEADING, [{ type: 'noop' }]);
    expect(decoded(Buffer.concat([bytes, Buffer.from([0])]))).toBeUndefined();
    expect(decoded(Buffer.concat([bytes, bytes]))).toBeUndefined();
  });

  test('is refused if it is no message at all', () => {
    for (const other of ['', 'hello', '{"a":1}']) expect(decoded(Buffer.from(other))).toBeUndefined();
    for (const other of [null, [], 7, ['1', 's'], { format: 1 }]) expect(decoded(encode(other))).toBeUndefined();
  });

  test('of another format stops the reader, whatever else it is', () => {
    for (const other of [[1], [1, 's', 1], [99, null, 'a', 'b', 'c', 'd', 'e', 'f']]) {
      expect(() => decodeMessage(encode(other))).toThrow(/message of format/);
    }
  });

  test('is of the format that a new stream names', () => {
    expect(STREAM_FORMAT).toBe(MESSAGE_FORMAT);
  });

  test('has at most 1,024 commands', () => {
    const all = Array.from({ length: MAX_COMMANDS + 1 }, (): Command => ({ type: 'noop' }));
    const first = encodeMessage(HEADING, all);
    expect(first.next).toBe(MAX_COMMANDS);
    expect(decodeMessage(first.bytes)?.commands).toHaveLength(MAX_COMMANDS);
    expect(encodeMessage(HEADING, all, { from: first.next }).next).toBe(all.length);
  });

  test('takes no command beyond 256 KiB, but a larger command alone', () => {
    const set = (characters: number) => door.set(UNTIMED, 'a', 'k', 'x'.repeat(characters), undefined);
    const small = set(100 * 1024);
    expect(encodeMessage(HEADING, [small, small, small]).next).toBe(2);
    const large = encodeMessage(HEADING, [set(MAX_MESSAGE_BYTES + 1), small]);
    expect(large.next).toBe(1);
    expect(decodeMessage(large.bytes)?.commands).toHaveLength(1);
  });
});
