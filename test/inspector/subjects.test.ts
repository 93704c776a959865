import { expect, test } from 'vitest';
import { AgentContextCache, InMemoryContextCache, memorySubjectKeys } from '../../src/index.ts';
import { all } from '../support/all.ts';
import { look, lookAt } from '../support/inspector.ts';
import { tempDir } from '../support/temp-dir.ts';

const booking = { namespace: 'trip', key: 'booking' };
const address = { namespace: 'trip', key: 'address' };
const SECRET = /Ada|gate 1/;

async function withSubjects() {
  const looked = await look({ allowWrite: true }, { subjects: { keys: memorySubjectKeys() } });
  const { cache } = looked;
  await cache.set('booking', { hotel: 'Adler', guest: 'Ada' }, 'trip', { subjects: { '/guest': 'user-42' } });
  await cache.set('address', 'gate 1', 'trip', { subject: 'user-42' });
  await cache.set('plain', 'train', 'trip');
  return looked;
}

/** What the log holds, as text. */
async function stored(cache: AgentContextCache): Promise<string> {
  return JSON.stringify(await all(cache.readLog()));
}

test('shows the values of a subject as readers get them, and whom they are about', async () => {
  const { looking } = await withSubjects();
  expect(await looking.ask('GET /api/entry', booking)).toMatchObject({
    ...{ value: { hotel: 'Adler', guest: 'Ada' }, subjects: { '/guest': 'user-42' } },
  });
  for (const at of [undefined, 2]) {
    const entry = await looking.ask('GET /api/entry', { ...address, at });
    expect(entry).toMatchObject({ value: 'gate 1', subjects: { '': 'user-42' } });
    expect(entry).not.toHaveProperty('forgotten');
  }
  const plain = await looking.ask('GET /api/entry', { namespace: 'trip', key: 'plain' });
  expect(Object.keys(plain).filter((name) => ['subjects', 'forgotten', 'sealed'].includes(name))).toEqual([]);
  const { items } = await looking.ask('GET /api/keys', { namespace: 'trip' });
  expect(JSON.stringify(items)).toContain('gate 1');
  expect((await looking.ask('GET /api/search', { q: 'gate' })).items).toMatchObject([{ key: 'address' }]);
  expect(await looking.ask('GET /api/update', { position: 2 })).toMatchObject({ value: 'gate 1' });
  const { items: rows } = await looking.ask('GET /api/updates', { value: 'gate 1' });
  expect(rows).toMatchObject([{ position: 2, preview: { text: '"gate 1"' } }]);
  const history = await looking.ask('GET /api/history', address);
  expect(history.items).toMatchObject([{ value: 'gate 1', subjects: { '': 'user-42' } }]);
});

test('keeps the subjects of what is edited', async () => {
  const { cache, looking } = await withSubjects();
  const edited = { hotel: 'Bristol', guest: 'Ada Lovelace' };
  await looking.ask('POST /api/set', { ...booking, value: edited, ifVersion: 1 });
  await looking.ask('POST /api/set', { ...address, value: 'gate 12', ifVersion: 2 });
  expect([cache.get('booking', 'trip'), cache.get('address', 'trip')]).toEqual([edited, 'gate 12']);
  expect(await stored(cache)).not.toMatch(SECRET);
  await cache.forget('user-42');
  expect([cache.get('booking', 'trip'), cache.get('address', 'trip')]).toEqual([
    { hotel: 'Bristol', guest: null },
    undefined,
  ]);
});

test('keeps the subjects of the version that was shown if another writer has removed or replaced it', async () => {
  const { cache, looking } = await withSubjects();
  const { value } = await looking.ask('GET /api/entry', booking);
  await cache.delete('booking', 'trip');
  const again = { ...booking, value, edited: 1 };
  expect(await looking.refused('POST /api/set', { ...again, ifVersion: 1 })).toMatchObject({ current: null });
  await looking.ask('POST /api/set', { ...again, ifVersion: 0 });
  expect(cache.get('booking', 'trip')).toEqual(value);
  const { version } = await cache.set('booking', { hotel: 'none' }, 'trip');
  const renamed = { ...again, value: { hotel: 'Adler', name: 'Ada' }, ifVersion: version };
  expect(await looking.refused('POST /api/set', renamed)).toMatchObject({ status: 400, code: 'INVALID_COMMAND' });
  await looking.ask('POST /api/set', { ...again, ifVersion: version });
  expect(await stored(cache)).not.toMatch(SECRET);
  const refused = await looking.refused('POST /api/set', { ...again, edited: 99, ifVersion: version + 1 });
  expect(refused).toMatchObject({ code: 'INVALID_COMMAND', message: expect.stringContaining('ersion 99') });
  for (const edited of [-1, '1', null])
    expect(await looking.refused('POST /api/set', { ...again, edited, ifVersion: 9 })).toMatchObject({ status: 400 });
});

test('refuses an edit that may have moved what a subject is about, unless it names the subjects', async () => {
  const { cache, looking } = await withSubjects();
  const guests = { namespace: 'trip', key: 'guests' };
  const list = [{ name: 'Ada' }, { name: 'x', note: 'window' }];
  const { version } = await cache.set('guests', list, 'trip', { subjects: { '/0/name': 'user-42' } });
  const { position } = cache;
  for (const edit of [
    { ...booking, value: { hotel: 'Adler', visitor: 'Ada' }, ifVersion: 1 },
    { ...booking, value: { hotel: 'Adler', guest: null, visitor: 'Ada' }, ifVersion: 1 },
    { ...booking, value: { hotel: 'Adler' }, ifVersion: 1 },
    { ...booking, value: 'Ada', ifVersion: 1 },
    { ...guests, value: [{ name: 'Bob' }, ...list], ifVersion: version },
    { ...guests, value: { 0: { name: 'x' }, 1: { name: 'Ada' } }, ifVersion: version },
  ]) {
    const refused = await looking.refused('POST /api/set', edit);
    expect(refused).toMatchObject({ status: 400, code: 'INVALID_COMMAND' });
    expect(refused.message).toMatch(
      /"\/(guest|0\/name)" is about "user-42".*Leave it where it is, or name the subjects/,
    );
  }
  expect(cache.position).toBe(position);
  const others = [list[0], { name: 'y' }];
  await looking.ask('POST /api/set', { ...guests, value: others, ifVersion: version });
  const longer = [{ name: 'Bob' }, ...list];
  const named = { ...guests, value: longer, subjects: { '/1/name': 'user-42' }, ifVersion: version + 1 };
  await looking.ask('POST /api/set', named);
  await looking.ask('POST /api/set', { ...address, value: null, ifVersion: 2 });
  expect(cache.get('guests', 'trip')).toEqual(longer);
  expect(await stored(cache)).not.toMatch(SECRET);
});

test('takes subjects as set does, and stores nothing if one of their pointers is wrong', async () => {
  const { cache, looking } = await withSubjects();
  const plain = { namespace: 'trip', key: 'plain', value: { email: 'Ada' }, ifVersion: 3 };
  const { position } = cache;
  for (const wrong of [[], 'user-42', { '/guest': 7 }])
    expect(await looking.refused('POST /api/set', { ...plain, subjects: wrong })).toMatchObject({
      ...{ status: 400, code: 'INVALID_OPTION', message: expect.stringContaining('JSON pointer') },
    });
  for (const path of ['email', '/email/~', '/mail', '/constructor', '/__proto__']) {
    const refused = await looking.refused('POST /api/set', { ...plain, subjects: { [path]: 'user-42' } });
    expect(refused).toMatchObject({ status: 400, code: 'INVALID_COMMAND', message: expect.stringContaining(path) });
  }
  expect(cache.position).toBe(position);
  await looking.ask('POST /api/set', { ...plain, subjects: { '/email': 'user-42' } });
  expect(cache.get('plain', 'trip')).toEqual({ email: 'Ada' });
  expect(await stored(cache)).not.toMatch(SECRET);
});

test('marks what was forgotten, and refuses an edit that would bring it back', async () => {
  const { cache, looking } = await withSubjects();
  await cache.forget('user-42');
  const { position } = cache;
  const whole = await looking.ask('GET /api/entry', address);
  expect(whole).toMatchObject({ value: null, forgotten: [''], subjects: { '': 'user-42' } });
  const part = await looking.ask('GET /api/entry', booking);
  expect(part).toMatchObject({ value: { hotel: 'Adler', guest: null }, forgotten: ['/guest'] });
  const { items } = await looking.ask('GET /api/keys', { namespace: 'trip' });
  expect(items).toMatchObject([{ item: { preview: { missing: 'forgotten' } } }, { label: 'booking' }, {}]);
  for (const edit of [
    { ...address, value: 'gate 1', ifVersion: 2 },
    { ...address, value: 'other', ifVersion: 2 },
    { ...booking, value: { hotel: 'Adler', guest: 'Ada' }, ifVersion: 1 },
  ]) {
    const refused = await looking.refused('POST /api/set', edit);
    expect(refused).toMatchObject({ code: 'SUBJECT_FORGOTTEN', message: expect.stringContaining('user-42') });
  }
  expect(cache.position).toBe(position);
  // The rest of the value can be changed.
  await looking.ask('POST /api/set', { ...booking, value: { hotel: 'Bristol', guest: null }, ifVersion: 1 });
  expect(cache.get('booking', 'trip')).toEqual({ hotel: 'Bristol', guest: null });
  await looking.ask('POST /api/delete', { ...address, ifVersion: 2 });
});

test('marks what cannot be decrypted here, and does not let it be replaced unseen', async () => {
  const dataDir = await tempDir('inspector-subjects');
  const written = await AgentContextCache.open({ dataDir, subjects: { keys: memorySubjectKeys() } });
  await written.set('address', 'gate 1', 'trip', { subject: 'user-42' });
  await written.shutdown();
  await using cache = await AgentContextCache.open({ dataDir });
  const looking = await lookAt(cache, { allowWrite: true });
  expect(await looking.ask('GET /api/entry', address)).toMatchObject({ value: null, sealed: [''], subjects: null });
  const refused = await looking.refused('POST /api/set', { ...address, value: 'other', ifVersion: 1 });
  expect(refused).toMatchObject({ code: 'KEY_UNAVAILABLE' });
  expect(cache.entry('address', 'trip')?.version).toBe(1);
});

test('does not replace what was moved under another key, and so cannot be decrypted', async () => {
  const primaryCache = new InMemoryContextCache();
  const { looking, cache } = await look(
    { allowWrite: true },
    { primaryCache, subjects: { keys: memorySubjectKeys() } },
  );
  await cache.set('address', 'gate 1', 'trip', { subject: 'user-42' });
  const moved = { namespace: 'trip', key: 'moved' };
  primaryCache.set('moved', primaryCache.get('address', 'trip') ?? null, 'trip');
  expect(await looking.ask('GET /api/entry', address)).toMatchObject({ value: 'gate 1' });
  expect(await looking.ask('GET /api/entry', moved)).toMatchObject({ sealed: [''], subjects: { '': 'user-42' } });
  const refused = await looking.refused('POST /api/set', { ...moved, value: 'other', ifVersion: 0 });
  expect(refused).toMatchObject({ code: 'KEY_UNAVAILABLE' });
});

test('refuses a new value for a forgotten part also if the edit names the subjects of others', async () => {
  const { cache, looking } = await withSubjects();
  await cache.forget('user-42');
  const { version } = await looking.ask('GET /api/entry', booking);
  const edit = { ...booking, ifVersion: version, edited: version, subjects: { '/hotel': 'user-43' } };
  const value = { hotel: 'Adler', guest: 'Ada' };
  expect(await looking.refused('POST /api/set', { ...edit, value })).toMatchObject({ code: 'SUBJECT_FORGOTTEN' });
  expect(await stored(cache)).not.toMatch(SECRET);
  await looking.ask('POST /api/set', { ...edit, value: { hotel: 'Adler', guest: null } });
  expect(cache.get('booking', 'trip')).toEqual({ hotel: 'Adler', guest: null });
});
