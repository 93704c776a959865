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
  const { value, subjects } = await looking.ask('GET /api/entry', booking);
  await cache.delete('booking', 'trip');
  const again = { ...booking, value, subjects };
  expect(await looking.refused('POST /api/set', { ...again, ifVersion: 1 })).toMatchObject({ current: null });
  await looking.ask('POST /api/set', { ...again, ifVersion: 0 });
  expect(cache.get('booking', 'trip')).toEqual(value);
  const { version } = await cache.set('booking', { hotel: 'none' }, 'trip');
  await looking.ask('POST /api/set', { ...again, ifVersion: version });
  // A part that the new value does not have is about none.
  await looking.ask('POST /api/set', { ...again, value: { hotel: 'Adler' }, ifVersion: version + 1 });
  expect(await stored(cache)).not.toMatch(SECRET);
  for (const wrong of [[], 'user-42', { '/guest': 7 }])
    expect(await looking.refused('POST /api/set', { ...again, subjects: wrong, ifVersion: 9 })).toMatchObject({
      ...{ status: 400, code: 'INVALID_OPTION', message: expect.stringContaining('JSON pointer') },
    });
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
