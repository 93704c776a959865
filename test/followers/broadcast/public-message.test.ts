import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Meta } from '../../../src/core/meta.ts';
import type { Update } from '../../../src/core/update.ts';
import { admit } from '../../../src/core/value.ts';
import { parsePublicMessage } from '../../../src/followers/broadcast/parse-public-message.ts';
import { ContextUpdateProcessor } from '../../../src/followers/broadcast/public-message.ts';
import { updateOf } from '../../support/broadcast.ts';
import { fcOptions } from '../../support/property.ts';

const AT = 1_700_000_000_000;

function textOf(update: Update, subjectId: string | null = null, log = 'L'): string | undefined {
  return new ContextUpdateProcessor({ subjectId, log }).process(update)?.payload.toString();
}

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('the public message, byte for byte', () => {
  const tail = `"event_id":"L-5","position":5,"version":2,"at":${AT}`;
  const head = '{"event_type":"context_update","sender_subject_id":null,"event_data":';
  const base = { position: 5, version: 2, key: 'token' };

  it.each<[string, Partial<Update>, string]>([
    [
      'set',
      { value: { a: [1, null] } },
      `{"operation":"set","namespace":"ns","key":"token","value":{"a":[1,null]}},${tail}}`,
    ],
    ['set of null', { value: null }, `{"operation":"set","namespace":"ns","key":"token","value":null},${tail}}`],
    ['delete', { operation: 'delete' }, `{"operation":"delete","namespace":"ns","key":"token","value":null},${tail}}`],
    [
      'clear_namespace',
      { operation: 'clear_namespace', key: null },
      `{"operation":"clear_namespace","namespace":"ns","key":null,"value":null},${tail}}`,
    ],
    [
      'a drop',
      { operation: 'clear_namespace', key: null, drop: true },
      `{"operation":"clear_namespace","namespace":"ns","key":null,"value":null},${tail},"drop":true}`,
    ],
    [
      'expire, as a delete',
      { operation: 'expire' },
      `{"operation":"delete","namespace":"ns","key":"token","value":null},${tail},"cause":"expire"}`,
    ],
    [
      'evict, as a delete',
      { operation: 'evict' },
      `{"operation":"delete","namespace":"ns","key":"token","value":null},${tail},"cause":"evict"}`,
    ],
    [
      'agent and expiry',
      { value: 'v', agent: 'plan "ner"', expiresAt: AT + 1 },
      `{"operation":"set","namespace":"ns","key":"token","value":"v"},${tail},"agent":"plan \\"ner\\"","expires_at":${AT + 1}}`,
    ],
  ])('%s', (_name, fields, rest) => {
    expect(textOf(updateOf({ ...base, ...fields }))).toBe(head + rest);
  });

  it('says nothing about a touch', () => {
    expect(textOf(updateOf({ operation: 'touch' }))).toBeUndefined();
  });

  it('names the sender, by default that of SUBJECT_ID', () => {
    const senderOf = (processor: ContextUpdateProcessor) =>
      (JSON.parse(String(processor.process(updateOf())?.payload)) as { sender_subject_id: unknown }).sender_subject_id;
    vi.stubEnv('SUBJECT_ID', 'agent-7');
    expect(senderOf(new ContextUpdateProcessor({ log: 'L' }))).toBe('agent-7');
    expect(senderOf(new ContextUpdateProcessor({ log: 'L', subjectId: null }))).toBeNull();
    expect(senderOf(new ContextUpdateProcessor({ log: 'L', subjectId: 'x"y' }))).toBe('x"y');
    vi.stubEnv('SUBJECT_ID', '');
    expect(senderOf(new ContextUpdateProcessor({ log: 'L' }))).toBeNull();
  });

  it('leaves a value out and says how large it was', () => {
    const update = updateOf({ value: 'ü'.repeat(3), position: 9 });
    const message = new ContextUpdateProcessor({ subjectId: null, log: 'L' }).withoutValue(update);
    expect(JSON.parse(String(message?.payload))).toMatchObject({
      event_data: { operation: 'set', key: 'k', value: null },
      value_omitted: true,
      value_bytes: 8,
    });
    expect(message?.valueOmitted).toBe(true);
  });

  it('announces a value that has no JSON text without it', () => {
    const cyclic: unknown[] = [];
    cyclic.push(cyclic);
    for (const value of [cyclic, 1n, () => 1]) {
      const text = textOf(updateOf({ value: value as never }));
      expect(parsePublicMessage(String(text))).toMatchObject({ event_data: { value: null }, value_omitted: true });
    }
  });
});

const name = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }),
  fc.constantFrom('__proto__', 'a:b', '*', '>', 'a..b', ' ', '\u0000', '"\\\r\n', '🙂', '\u2028', 'x'.repeat(1024)),
);
const update: fc.Arbitrary<Update> = fc
  .record({
    operation: fc.constantFrom('set', 'delete', 'clear_namespace', 'expire', 'evict'),
    namespace: name,
    key: name,
    value: fc.jsonValue({ stringUnit: 'binary' }),
    agent: fc.option(name),
    expiresAt: fc.option(fc.nat()),
    position: fc.integer({ min: 1 }),
    version: fc.integer({ min: 1 }),
    drop: fc.boolean(),
    meta: fc.option(fc.dictionary(name, fc.jsonValue({ maxDepth: 1 })), { nil: undefined }),
    operationId: fc.option(name, { nil: undefined }),
  })
  .map((given) => {
    const { meta, operationId, ...fields } = given;
    const cleared = fields.operation === 'clear_namespace';
    return updateOf({
      ...fields,
      operation: fields.operation as Update['operation'],
      key: cleared ? null : fields.key,
      drop: cleared && fields.drop,
      value: fields.operation === 'set' ? admit(fields.value).value : null,
      ...(meta === undefined ? {} : { meta: admit(meta).value as Meta }),
      ...(operationId === undefined ? {} : { operationId }),
    });
  });

/** The message as a plain object, for JSON to write down. */
function plainMessage(u: Update, subjectId: string | null, log: string): object {
  const caused = u.operation === 'expire' || u.operation === 'evict';
  return {
    event_type: 'context_update',
    sender_subject_id: subjectId,
    event_data: { operation: caused ? 'delete' : u.operation, namespace: u.namespace, key: u.key, value: u.value },
    event_id: `${log}-${u.position}`,
    position: u.position,
    version: u.version,
    at: u.at,
    ...(u.agent === null ? {} : { agent: u.agent }),
    ...(u.expiresAt === null ? {} : { expires_at: u.expiresAt }),
    ...(u.meta === undefined ? {} : { meta: u.meta }),
    ...(u.operationId === undefined ? {} : { operation_id: u.operationId }),
    ...(u.drop ? { drop: true } : {}),
    ...(caused ? { cause: u.operation } : {}),
  };
}

describe('a clear of a prefix', () => {
  const clear = updateOf({ operation: 'clear', key: null, keys: ['a', 'b'], position: 5, version: 2 });

  it('has a delete for each key, with one position and an id of its own', () => {
    const processor = new ContextUpdateProcessor({ subjectId: null, log: 'L' });
    const texts = ['a', 'b'].map((key) => String(processor.process(clear, key)?.payload));
    const [first, second] = texts.map((text) => parsePublicMessage(text));
    expect(first).toMatchObject({
      event_data: { operation: 'delete', key: 'a', value: null },
      event_id: 'L-5-ca978112ca1b',
      position: 5,
      version: 2,
      cause: 'clear',
      clear_keys: 2,
    });
    expect(second).toMatchObject({ event_data: { key: 'b' }, event_id: 'L-5-3e23e8160039', position: 5 });
    expect(() => processor.process(clear)).toThrow(expect.objectContaining({ code: 'INVALID_VALUE' }));
  });
});

describe('whatever the names and values', () => {
  it('the text is that of JSON.stringify of the plain object, and reads back as what went in', () => {
    const property = fc.property(update, fc.option(name), name, (u, subjectId, log) => {
      const text = String(textOf(u, subjectId, log));
      expect(text).toBe(JSON.stringify(plainMessage(u, subjectId, log)));
      const { event_data, ...rest } = parsePublicMessage(text);
      expect(event_data.namespace).toBe(u.namespace);
      expect(event_data.key).toBe(u.key);
      expect(event_data.value).toEqual(u.value);
      expect(rest).toMatchObject({ position: u.position, version: u.version, event_id: `${log}-${u.position}` });
    });
    fc.assert(property, fcOptions(300));
  });

  it('one processor for many namespaces mixes none of them up', () => {
    const processor = new ContextUpdateProcessor({ subjectId: null, log: 'L' });
    const property = fc.property(fc.array(fc.constantFrom('', 'a', 'b', '"')), (namespaces) => {
      for (const namespace of namespaces) {
        const text = String(processor.process(updateOf({ namespace }))?.payload);
        expect((JSON.parse(text) as { event_data: { namespace: string } }).event_data.namespace).toBe(namespace);
      }
    });
    fc.assert(property, fcOptions());
  });
});

describe('parsePublicMessage', () => {
  const good = JSON.parse(String(textOf(updateOf({ value: 1 })))) as Record<string, unknown>;
  const data = good.event_data as Record<string, unknown>;

  it('keeps fields it does not know', () => {
    expect(parsePublicMessage(JSON.stringify({ ...good, later: 1 }))).toMatchObject({ later: 1 });
  });

  it.each<[string, unknown]>([
    ['not JSON', undefined],
    ['an array', []],
    ['null', null],
    ['another event', { ...good, event_type: 'other' }],
    ['a sender that is a number', { ...good, sender_subject_id: 1 }],
    ['no event_data', { ...good, event_data: undefined }],
    ['an operation of the log', { ...good, event_data: { ...data, operation: 'expire' } }],
    ['an empty namespace', { ...good, event_data: { ...data, namespace: '' } }],
    ['a key that is null', { ...good, event_data: { ...data, key: null } }],
    ['no value', { ...good, event_data: { ...data, value: undefined } }],
    ['a delete with a value', { ...good, event_data: { ...data, operation: 'delete' } }],
    ['a clear with a key', { ...good, event_data: { ...data, operation: 'clear_namespace', value: null } }],
    ['no event_id', { ...good, event_id: undefined }],
    ['position 0', { ...good, position: 0 }],
    ['a broken version', { ...good, version: 1.5 }],
    ['no at', { ...good, at: undefined }],
    ['an agent that is none', { ...good, agent: null }],
    ['a meta that is none', { ...good, meta: null }],
    ['an operation_id that is none', { ...good, operation_id: 7 }],
    ['a drop of a set', { ...good, drop: true }],
    ['a cause of a set', { ...good, cause: 'expire' }],
    [
      'a clear without its number of keys',
      { ...good, event_data: { ...data, operation: 'delete', value: null }, cause: 'clear' },
    ],
    ['a number of keys alone', { ...good, clear_keys: 1 }],
    ['a command_hash that is none', { ...good, command_hash: 'x' }],
    ['an omitted value that is there', { ...good, value_omitted: true, value_bytes: 1 }],
    ['value_bytes alone', { ...good, value_bytes: 1 }],
  ])('refuses %s', (_name, message) => {
    const text = message === undefined ? '{"secret' : JSON.stringify(message);
    expect(() => parsePublicMessage(text)).toThrow(expect.objectContaining({ code: 'INVALID_VALUE' }));
    expect(() => parsePublicMessage(text)).not.toThrow(/secret/);
  });
});
