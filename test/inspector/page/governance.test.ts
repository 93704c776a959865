import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildDist } from '../../support/dist.ts';
import { waitFor } from '../../support/inspector.ts';
import {
  keepScreen,
  type LiveProcess,
  type Opened,
  open,
  startBrowser,
  startLive,
  visit,
} from '../../support/inspector-page.ts';
import { tempDir } from '../../support/temp-dir.ts';

let live: LiveProcess;
let browser: Browser;
let opened: Opened;
let page: Page;

/** Texts become objects; "unknown" has no new form. */
const MIGRATIONS = `export default {
  migrations: [
    {
      version: 2,
      namespaces: 'hotels',
      when: (value) => typeof value === 'string',
      migrate: (value) => {
        if (value === 'unknown') throw new Error('no such hotel');
        return { hotel: value };
      },
    },
  ],
};`;

beforeAll(async () => {
  await buildDist();
  const dir = await tempDir('governance');
  const subjects = { keys: join(dir, 'subject.keys') };
  const module = join(dir, 'migrations.mjs');
  await writeFile(module, MIGRATIONS);
  live = await startLive({ dataDir: join(dir, 'data'), cache: { subjects }, module });
  browser = await startBrowser();
  opened = await open(browser, live.url);
  page = opened.page;
});
afterAll(async () => {
  await browser?.close();
  await live?.[Symbol.asyncDispose]();
});

const entryOf = async (key: string) =>
  ((await live.ask({ type: 'context.entry', namespace: 'trip', key })) as [object])[0];

test('shows whom a value is about, keeps it when it is edited, and says what was forgotten', async () => {
  const write = { type: 'context.set', namespace: 'trip', agent: 'booker' };
  await live.ask([
    { ...write, key: 'booking', value: { hotel: 'Adler', guest: 'Ada' }, subjects: { '/guest': 'user-42' } },
    { ...write, key: 'address', value: 'Karl Johans gate 1', subject: 'user-42' },
  ]);
  await visit(page, '#/data?ns=trip&key=booking');
  const subjects = page.getByRole('list', { name: 'Subjects' });
  await subjects.getByText('user-42').waitFor();
  expect(await subjects.textContent()).toMatch(/user-42\s*\/guest/);
  await page.locator('.value-box').getByText('Ada').waitFor();
  await page
    .getByRole('treeitem', { name: /address/ })
    .getByText('Karl Johans gate 1')
    .waitFor();
  await page.getByRole('button', { name: 'Edit' }).click();
  await page.getByText('What is about user-42 stays encrypted.').waitFor();
  await page.getByRole('textbox', { name: 'Value as JSON' }).fill('{"hotel":"Bristol","guest":"Ada L."}');
  await page.getByRole('button', { name: 'Store' }).click();
  await page.locator('.value-box').getByText('Ada L.').waitFor();
  await subjects.getByText('user-42').waitFor();
  // Opened again, so that nothing but the forgetting makes the page read again.
  await page.reload();
  await page.getByText('live', { exact: true }).last().waitFor();
  await page.locator('.value-box').getByText('Ada L.').waitFor();
  await page.locator('.history').getByText('Ada L.').first().waitFor();
  await keepScreen(page, 'subject');
  // The page was open before: it notices.
  await live.ask({ type: 'subjects.forget', subject: 'user-42', reason: 'asked' });
  await subjects.getByText('forgotten').waitFor();
  for (const place of ['.value-box', '.history'])
    await waitFor(async () => expect(await page.locator(place).textContent()).not.toContain('Ada'));
  await keepScreen(page, 'subject-part-forgotten');
  await visit(page, '#/data?ns=trip&key=address');
  await page.getByText('The value was forgotten').first().waitFor();
  await page
    .getByRole('treeitem', { name: /address/ })
    .getByText('forgotten')
    .waitFor();
  await page.getByRole('button', { name: 'Edit' }).click();
  await page.getByRole('textbox', { name: 'Value as JSON' }).fill('"Karl Johans gate 1"');
  await page.getByRole('button', { name: 'Store' }).click();
  await page
    .getByRole('alert')
    .getByText(/The subject "user-42" was forgotten/)
    .waitFor();
  await keepScreen(page, 'subject-forgotten');
  await page.getByRole('button', { name: 'Cancel' }).click();
  expect(await entryOf('address')).toMatchObject({ value: null, forgotten: [''] });
  // The answer 409 of the refused edit is the page's to show.
  expect(opened.problems.filter((problem) => !problem.includes('Failed to load resource'))).toEqual([]);
});

test('refuses an edit that renames what a subject is about, also after another writer has replaced the entry', async () => {
  const write = { type: 'context.set', namespace: 'trip', key: 'visit', agent: 'booker' };
  await live.ask({ ...write, value: { hotel: 'Adler', guest: 'Bea' }, subjects: { '/guest': 'user-43' } });
  await visit(page, '#/data?ns=trip&key=visit');
  await page.locator('.value-box').getByText('Bea').waitFor();
  await page.getByRole('button', { name: 'Edit' }).click();
  const text = page.getByRole('textbox', { name: 'Value as JSON' });
  const [renamed, kept] = ['{"hotel":"Adler","visitor":"Bea"}', '{"hotel":"Adler","guest":"Bea L."}'];
  const store = page.getByRole('button', { name: 'Store', exact: true });
  const replace = page.getByRole('button', { name: /^Replace version/ });
  const refused = page.getByRole('dialog').getByText(/"\/guest" is about "user-43".*Leave it where it is/);
  await text.fill(renamed);
  await store.click();
  await refused.waitFor();
  await keepScreen(page, 'subject-moved');
  await live.ask({ ...write, value: { hotel: 'none' } });
  await text.fill(kept);
  await store.click();
  await text.fill(renamed);
  await replace.click();
  await refused.waitFor();
  expect(await entryOf('visit')).toMatchObject({ value: { hotel: 'none' } });
  await text.fill(kept);
  await store.click();
  await replace.click();
  await page.locator('.value-box').getByText('Bea L.').waitFor();
  expect(await page.getByRole('list', { name: 'Subjects' }).textContent()).toMatch(/user-43\s*\/guest/);
});

test('names subjects in the dialog, so that a part can be renamed and a value can become one about a subject', async () => {
  const write = { type: 'context.set', namespace: 'trip', agent: 'booker' };
  await live.ask([
    { ...write, key: 'call', value: { guest: 'Eve' }, subjects: { '/guest': 'user-44' } },
    { ...write, key: 'note', value: 'plain' },
  ]);
  await visit(page, '#/data?ns=trip&key=call');
  await page.locator('.value-box').getByText('Eve').waitFor();
  const dialog = page.getByRole('dialog');
  const text = dialog.getByRole('textbox', { name: 'Value as JSON' });
  const store = dialog.getByRole('button', { name: 'Store', exact: true });
  const subject = (number: number) => dialog.getByRole('textbox', { name: `Subject ${number}`, exact: true });
  const path = (number: number) => dialog.getByRole('textbox', { name: `Path of subject ${number}` });
  const subjects = page.getByRole('list', { name: 'Subjects' });
  await page.getByRole('button', { name: 'Edit' }).click();
  expect([await subject(1).inputValue(), await path(1).inputValue()]).toEqual(['user-44', '/guest']);
  await text.fill('{"visitor":"Eve","host":"Fay"}');
  await path(1).fill('/visitor');
  await dialog.getByRole('button', { name: 'Add a subject' }).click();
  await dialog.getByText('A subject has no name.').waitFor();
  expect(await store.isDisabled()).toBe(true);
  await subject(2).fill('user-45');
  await path(2).fill('/visitor');
  await dialog.getByText('/visitor has two subjects.').waitFor();
  await path(2).fill('/nothing');
  await store.click();
  await dialog.getByText(/"\/nothing"/).waitFor();
  await path(2).fill('/host');
  await keepScreen(page, 'subjects-named');
  await store.click();
  await subjects.getByText('user-45').waitFor();
  expect(await subjects.textContent()).toMatch(/user-44\s*\/visitor\s*user-45\s*\/host/);
  // Removing a line leaves its part readable.
  await page.getByRole('button', { name: 'Edit' }).click();
  await dialog.getByRole('button', { name: 'Remove subject 2' }).click();
  await dialog.getByText('A part for which no subject is named is stored readable.').waitFor();
  await store.click();
  await subjects.getByText('user-45').waitFor({ state: 'detached' });
  expect(await subjects.textContent()).toMatch(/user-44\s*\/visitor$/);
  await visit(page, '#/data?ns=trip&key=note');
  await page.locator('.value-box').getByText('plain').waitFor();
  await page.getByRole('button', { name: 'Edit' }).click();
  await text.fill('"about Gil"');
  await dialog.getByRole('button', { name: 'Add a subject' }).click();
  await subject(1).fill('user-46');
  await store.click();
  await subjects.getByText('user-46').waitFor();
  await live.ask({ type: 'subjects.forget', subject: 'user-46', reason: 'asked' });
  await page.getByText('The value was forgotten').first().waitFor();
});

test('shows what readers get beside what was written, and stores an edit of the former', async () => {
  const write = { type: 'context.set', namespace: 'hotels', agent: 'booker' };
  await live.ask([
    { ...write, key: 'oslo', value: 'Adler' },
    { ...write, key: 'rome', value: 'unknown' },
  ]);
  await visit(page, '#/data?ns=hotels&key=oslo');
  // Opened again, so that the tree shows the namespace.
  await page.reload();
  await page.getByText('What readers get: a migration has changed the value').waitFor();
  const boxes = page.locator('.value-box');
  const texts = [expect.stringMatching(/hotel[\s\S]*Adler/), expect.stringMatching(/^"?Adler"?$/)];
  await waitFor(async () => expect(await boxes.allInnerTexts()).toEqual(texts));
  await page.getByRole('treeitem', { name: /oslo/ }).getByText('{"hotel":"Adler"}').waitFor();
  await keepScreen(page, 'migrated');
  await page.getByRole('button', { name: 'Edit' }).click();
  const text = page.getByRole('textbox', { name: 'Value as JSON' });
  expect(JSON.parse(await text.inputValue())).toEqual({ hotel: 'Adler' });
  await page.getByText('The text is what readers get').waitFor();
  await text.fill('{"hotel":"Bristol"}');
  await page.getByRole('button', { name: 'Store', exact: true }).click();
  await page.locator('.value-box').getByText('Bristol').waitFor();
  await waitFor(async () => expect(await boxes.count()).toBe(1));
  await visit(page, '#/data?ns=hotels&key=rome');
  await page.getByText(/Readers get this error[\s\S]*no such hotel/).waitFor();
  await boxes.getByText('unknown').waitFor();
  await keepScreen(page, 'migration-failed');
});

test('lists contradictions with both agents and values, and leads to both updates', async () => {
  const write = { type: 'context.set', namespace: 'fleet', key: 'hotel', basis: [] };
  await live.ask({ ...write, value: { name: 'Adler' }, agent: 'ann' });
  await live.ask({ ...write, value: { name: 'Bristol' }, agent: 'bob' });
  const answers = await live.ask({ ...write, key: 'train', value: '9:04', agent: 'ann' });
  const [{ position }] = answers as [{ readonly position: number }];
  await live.ask({ type: 'context.delete', namespace: 'fleet', key: 'train', agent: 'bob', basis: [] });
  await visit(page, '#/data?ns=fleet&key=hotel');
  await page.getByRole('button', { name: 'Show those in fleet' }).click();
  const list = page.getByRole('list', { name: 'Contradictions, earliest first' });
  const items = list.getByRole('listitem');
  await items.nth(1).waitFor();
  expect(await items.count()).toBe(2);
  const [hotel, train] = await items.allInnerTexts();
  expect(hotel).toMatch(/fleet hotel[\s\S]*earlier[\s\S]*ann[\s\S]*Adler[\s\S]*later[\s\S]*bob[\s\S]*Bristol/);
  expect(train).toMatch(/fleet train[\s\S]*ann[\s\S]*9:04[\s\S]*bob[\s\S]*delete/);
  await list.scrollIntoViewIfNeeded();
  await keepScreen(page, 'contradictions');
  await items
    .nth(1)
    .getByRole('link', { name: `later: delete by bob, position ${position + 1}` })
    .focus();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: `Update ${position + 1}` }).waitFor();
  await page.goBack();
  await page.getByRole('button', { name: 'Show those in fleet' }).click();
  await items
    .first()
    .getByRole('link', { name: /^earlier: set by ann/ })
    .click();
  await page.getByRole('heading', { name: `Update ${position - 2}` }).waitFor();
  // Of all namespaces, if none is chosen.
  await visit(page, '#/data');
  await page.getByRole('button', { name: 'Show those of all namespaces' }).click();
  await items.nth(1).waitFor();
});
