import { headers } from '@nats-io/transport-node';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { headerBytes, type TopicMessage, WireFrames } from '../../../src/followers/broadcast/wire-frames.ts';
import { fcOptions } from '../../support/property.ts';

function clientHeaders({ topic, id }: TopicMessage): Uint8Array {
  const made = headers();
  made.set('Nats-Msg-Id', `${id}:${topic}`);
  return (made as unknown as { encode(): Uint8Array }).encode();
}

/** The plain way: each message by itself, its headers made by the client. */
function plainFrame(message: TopicMessage, reply: string | undefined): Buffer {
  const { topic, payload } = message;
  const head = clientHeaders(message);
  const body = Buffer.from(payload);
  const subjects = [topic, ...(reply === undefined ? [] : [reply])].join(' ');
  const command = `HPUB ${subjects} ${head.length} ${head.length + body.length}\r\n`;
  return Buffer.concat([Buffer.from(command), head, body, Buffer.from('\r\n')]);
}

function written(messages: readonly TopicMessage[], reply: string | undefined): Buffer[] {
  const pieces: Buffer[] = [];
  const frames = new WireFrames((bytes) => pieces.push(Buffer.from(bytes)));
  for (const message of messages) frames.add(message, reply);
  frames.flush();
  return pieces;
}

it('writes what the client would, whatever is in topic, id and payload', () => {
  const word = fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => !/[\s\p{Cc}]/u.test(text));
  const payload = fc.oneof(fc.string({ unit: 'binary' }), fc.uint8Array(), fc.json());
  const messages = fc.array(fc.record({ topic: word, id: word, payload }), { size: 'max', maxLength: 20 });
  fc.assert(
    fc.property(messages, fc.option(word, { nil: undefined }), (some, reply) => {
      expect(Buffer.concat(written(some, reply)).toString('latin1')).toBe(
        Buffer.concat(some.map((message) => plainFrame(message, reply))).toString('latin1'),
      );
      for (const message of some) expect(headerBytes(message.topic, message.id)).toBe(clientHeaders(message).length);
    }),
    fcOptions(),
  );
});

it('makes few pieces of many messages, and not one of all', () => {
  const messages = Array.from({ length: 5_000 }, (_, n) => ({ topic: 'a', id: `log-${n}`, payload: '{"n":1}' }));
  const pieces = written(messages, undefined);
  expect(pieces.length).toBeGreaterThan(1);
  expect(pieces.length).toBeLessThan(10);
});
