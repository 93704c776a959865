import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { JsonValue } from '../../src/index.ts';
import { Redactor } from '../../src/inspector/reads/redactor.ts';
import { hidesSecrets, type ValuePath } from '../../src/inspector.ts';
import { look, waitFor } from '../support/inspector.ts';
import { fcOptions } from '../support/property.ts';

const hides = (name: string, value: JsonValue) =>
  hidesSecrets({ namespace: 'n', key: 'k', path: [name], value } satisfies ValuePath);

describe('by default', () => {
  test.each([
    ...[
      'token',
      'tokens',
      'authToken',
      'AUTH_TOKEN',
      'auth-token',
      'accesstoken',
      'password',
      'userPassword',
      'passwd',
    ],
    ...[
      'dbPwd',
      'passphrase',
      'secret',
      'client_secret',
      'secrets',
      'credential',
      'awsCredentials',
      'apiKey',
      'api_key',
    ],
    ...['apikey', 'x-api-key', 'privateKey', 'ssh.keys', 'APIKey', 'authorization', 'Set-Cookie', 'bearer', 'jwt'],
  ])('%s is hidden', (name) => {
    expect(hides(name, 'x')).toBe(true);
    expect(hides(name, { inner: 'x' })).toBe(true);
    for (const place of [
      { namespace: name, key: 'k' },
      { namespace: 'n', key: name },
    ]) {
      expect(hidesSecrets({ ...place, path: [], value: 'x' })).toBe(true);
    }
  });

  test.each(['key', 'keys', 'keyboard', 'monkey', 'plan', 'name', 'passenger', 'compass', 'secretary'.slice(0, 3)])(
    '%s is not',
    (name) => expect(hides(name, 'x')).toBe(false),
  );

  test('hides a number that is a secret, and shows a count', () => {
    for (const name of ['password', 'pinToken', 'apiKey']) expect(hides(name, 1234)).toBe(true);
    for (const name of ['max_tokens', 'promptTokens', 'token_count', 'tokens']) expect(hides(name, 1234)).toBe(false);
    for (const value of [true, false, null]) expect(hides('hasPassword', value)).toBe(false);
  });

  test.each([
    'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc',
    'sk-proj-abcdefghijklmnopqrstuvwx',
    'ghp_abcdefghijklmnopqrstuvwxyz0123456789',
    'AKIAIOSFODNN7EXAMPLE',
    'curl -H "Authorization: Bearer abcdefghijklmnop123"',
    '-----BEGIN RSA PRIVATE KEY-----\nMIIE',
    'postgres://ann:hunter2@db.local/trips',
  ])('a text that looks like a secret is hidden wherever it is: %s', (text) => {
    expect(hides('note', text)).toBe(true);
  });

  test.each(['https://example.org/a:b@c', 'ask-me-anything-about-that-trip', 'a sketchy idea', 'Bearer of news'])(
    'and not %s',
    (text) => expect(hides('note', text)).toBe(false),
  );
});

test('adds the words and expressions of the user to the defaults', () => {
  const redactor = new Redactor(['social security', /^x-/g]);
  const shown = redactor.show('n', 'k', { socialSecurity: 1, 'x-a': 2, 'x-b': 3, social: 4, password: 'p', ok: 5 });
  expect(shown.value).toMatchObject({ social: 4, ok: 5 });
  expect(JSON.stringify(shown.value).match(/\[hidden/g)).toHaveLength(4);
  expect(new Redactor(false).show('n', 'token', 'x')).toEqual({ value: 'x', hidden: false });
  expect(redactor.show('patients social security', 'k', 1).value).toMatch(/^\[hidden/);
});

test('hides a part if the function throws', () => {
  const redactor = new Redactor(() => {
    throw new Error('no');
  });
  expect(redactor.show('n', 'k', { a: 1 }).value).toMatch(/^\[hidden \w{8}\]$/);
});

const SECRET = 'hunter2-the-secret';
const name = fc.constantFrom('a', 'plan', 'token', 'apiKey', '__proto__', 'nested', 'password', '0', 'x.y');
const leaf = fc.oneof(fc.string({ maxLength: 8 }), fc.integer(), fc.boolean(), fc.constant(null), fc.constant(SECRET));
const { value: anyValue } = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(name, tie('value')), { maxLength: 4 }).map((pairs) => Object.fromEntries(pairs) as JsonValue),
  ),
}));
/** Hides every part that contains the secret, judged by its value alone. */
const holds = ({ value }: ValuePath) => value === SECRET;

describe('for any value', () => {
  test('no text contains the hidden parts, and the rest is unchanged', () => {
    const redactor = new Redactor(holds);
    fc.assert(
      fc.property(anyValue, (value) => {
        const shown = redactor.show('n', 'k', value);
        const text = JSON.stringify(shown.value);
        expect(text).not.toContain(SECRET);
        expect(shown.hidden).toBe(JSON.stringify(value).includes(SECRET));
        expect(text.replace(/\[hidden \w{8}\]/g, SECRET)).toBe(JSON.stringify(value));
      }),
      fcOptions(300),
    );
  });

  test('showing and restoring gives the same value', () => {
    const redactor = new Redactor(undefined);
    fc.assert(
      fc.property(anyValue, (value) => {
        const shown = redactor.show('n', 'k', value).value;
        expect(JSON.stringify(redactor.restore('n', 'k', shown, value))).toBe(JSON.stringify(value));
        expect(redactor.show('n', 'k', value).value).toEqual(shown);
      }),
      fcOptions(300),
    );
  });

  test('no address and no message reveals it: present, view, history, difference, update, conflict', async () => {
    const { cache, looking } = await look({ redact: holds, allowWrite: true });
    const live = await looking.live();
    live.send({ type: 'subscribe', id: 'u', feed: 'updates' });
    await waitFor(() => expect(cache.health().watchers).toBe(1));
    await cache.set('k', { a: SECRET, deep: [{ token: SECRET }] }, 'n');
    await cache.set('k', [SECRET, 1], 'n');
    // One batch or two.
    const told = [await live.next('updates')];
    if (told[0]?.position === 1) told.push(await live.next('updates'));
    const where = { namespace: 'n', key: 'k' };
    const answers = await Promise.all([
      looking.answer('GET /api/entry', where),
      looking.answer('GET /api/entry', { ...where, at: 1 }),
      looking.answer('GET /api/keys', where),
      looking.answer('GET /api/history', where),
      looking.answer('GET /api/updates', {}),
      looking.answer('GET /api/update', { position: 2 }),
      looking.answer('GET /api/diff', { a: 1, b: 2 }),
      looking.answer('GET /api/diff', { a: 0, b: 1 }),
      looking.answer('POST /api/delete', { ...where, ifVersion: 7 }),
      looking.answer('POST /api/set', { ...where, value: 1, ifVersion: 7 }),
      looking.answer('GET /api/actors', {}),
      looking.answer('GET /api/overview', {}),
      looking.answer('GET /api/health', {}),
    ]);
    const all = JSON.stringify([answers, ...told]);
    expect(all.match(/\[hidden /g)?.length).toBeGreaterThan(12);
    expect(all).not.toContain('hunter2');
  });
});
