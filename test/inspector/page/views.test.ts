import { join } from 'node:path';
import { createWebSocketInspector } from '@statelyai/inspect';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createActor, createMachine } from 'xstate';
import { AIRLINE_UPDATES, airlinePath } from '../../support/airline.ts';
import { buildDist } from '../../support/dist.ts';
import { waitFor } from '../../support/inspector.ts';
import {
  keepScreen,
  type LiveProcess,
  type Opened,
  open,
  startBrowser,
  startLive,
  TOKEN,
  visit,
} from '../../support/inspector-page.ts';
import { tempDir } from '../../support/temp-dir.ts';

const HALF = 5_000;
const SECRET = 'sk-live-0123456789abcdef0123456789';
const MARKUP = '<img src=x onerror="document.title=1"><b>bold</b>';

/** Waits until the page shows a text. */
const shows = (page: Page, text: string | RegExp) => page.getByText(text).first().waitFor();

describe('the six views of a process that works through the airline file', () => {
  let live: LiveProcess;
  let browser: Browser;
  let opened: Opened;
  let page: Page;

  beforeAll(async () => {
    await buildDist();
    live = await startLive({ dataDir: join(await tempDir('page'), 'data') });
    await live.apply(airlinePath, HALF);
    browser = await startBrowser();
    opened = await open(browser, live.url);
    page = opened.page;
  });
  afterAll(async () => {
    await browser?.close();
    await live?.[Symbol.asyncDispose]();
  });

  test('removes the token from the address bar', async () => {
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    expect(page.url()).not.toContain('token');
  });

  test('the overview keeps counting while the process works', async () => {
    const position = page.locator('.figure', { hasText: 'Position' }).locator('dd');
    await position.filter({ hasText: /^4,\d{3}/ }).waitFor();
    expect(await live.apply(airlinePath)).toBeGreaterThan(AIRLINE_UPDATES);
    await position.filter({ hasText: /^1[34],\d{3}/ }).waitFor();
    await page.getByRole('cell', { name: 'index' }).waitFor();
    await page.locator('canvas').first().waitFor();
    await page.getByRole('figure', { name: /^Updates per second: updates\/s/ }).waitFor();
  });

  test('finds an actor, highlights its state, and lists its transitions as they happen', async () => {
    await live.ask({ type: 'context.set', namespace: 'page:actor', key: 'a', value: 1 });
    await page.getByRole('link', { name: 'Actors' }).click();
    await page.getByRole('searchbox', { name: 'Find an actor' }).fill('page:act');
    await page.getByRole('treeitem', { name: 'page:actor' }).click();
    await page.getByRole('img', { name: 'Statechart namespace; now in ready' }).waitFor();
    await page.locator('[data-state="ready"].is-current').waitFor();
    await live.ask({ type: 'namespace.passivate', namespace: 'page:actor' });
    await page.locator('[data-state="passivated"].is-current').waitFor();
    await page.getByRole('list', { name: 'Transitions, newest first' }).getByText('ready → passivated').waitFor();
    await page.locator('.just-taken').first().waitFor({ state: 'attached' });
    expect(await page.locator('[data-state="ready"].is-current').count()).toBe(0);
  });

  test('draws what an entry was based on and what was based on it, reachable by keyboard', async () => {
    const read = (key: string, version: number) => [{ namespace: 'fleet', key, version }];
    const write = { type: 'context.set', namespace: 'fleet', value: 1 } as const;
    await live.ask([
      { ...write, key: 'station', agent: 'scout' },
      { ...write, key: 'plan', agent: 'planner', basis: read('station', 1) },
      { ...write, key: 'hotel', agent: 'booker', basis: read('plan', 2) },
      { ...write, key: 'ticket', agent: 'booker', basis: [{ namespace: 'fleet', prefix: '', from: 1, to: 3 }] },
    ]);
    await visit(page, '#/data?ns=fleet&key=plan');
    await page.getByRole('button', { name: 'Show what it is based on' }).click();
    const writes = page.getByRole('list', { name: /^Writes, from the earliest/ });
    await writes.getByRole('link', { name: /^it is based on this: set station in fleet by scout/ }).waitFor();
    await writes.getByRole('link', { name: /^is based on it: set ticket .*not certain$/ }).waitFor();
    expect(await page.locator('.trace path.uncertain').count()).toBeGreaterThan(0);
    const box = async (name: RegExp) =>
      (await writes.getByRole('link', { name }).boundingBox()) ?? { x: 0, y: 0, height: 0 };
    const [cause, start, effect] = [await box(/set station/), await box(/^this entry/), await box(/set hotel/)];
    // From left to right, and each with room for its three lines.
    expect(start.x).toBeGreaterThan(cause.x + 100);
    expect(effect.x).toBeGreaterThan(start.x + 100);
    expect(start.height).toBeGreaterThan(50);
    await keepScreen(page, 'connections');
    await writes.getByRole('link', { name: /set hotel/ }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: /hotel/ }).first().waitFor();
  });

  test('filters updates by operation, namespace, key and agent', async () => {
    await page.getByRole('link', { name: 'Live updates' }).click();
    const list = page.getByRole('listbox', { name: 'Updates, newest first' });
    await list.getByRole('option').first().waitFor();
    await page.getByRole('textbox', { name: 'Namespace' }).fill('filter:*');
    await page.getByRole('textbox', { name: 'Key' }).fill('wanted/*');
    await page.getByRole('textbox', { name: 'Agent' }).fill('agent-a');
    // Typing slowly also requests a part of the filter; no update matches that either.
    const whole = page.waitForResponse((response) => {
      const { pathname, searchParams } = new URL(response.url());
      const given = ['operation', 'namespace', 'key', 'agent'].map((name) => searchParams.get(name));
      return pathname === '/api/updates' && given.join(' ') === 'delete filter:* wanted/* agent-a';
    });
    await page.getByRole('button', { name: 'delete', exact: true }).click();
    await whole;
    await shows(page, 'No update matches the filter');
    const at = (namespace: string, key: string, agent: string) => [
      { type: 'context.set', namespace, key, value: 1, agent },
      { type: 'context.delete', namespace, key, agent },
    ];
    await live.ask([
      ...at('other', 'wanted/1', 'agent-a'),
      ...at('filter:x', 'unwanted', 'agent-a'),
      ...at('filter:x', 'wanted/2', 'agent-b'),
      ...at('filter:x', 'wanted/3', 'agent-a'),
    ]);
    await list.getByRole('option').first().waitFor();
    expect(await list.getByRole('option').allInnerTexts()).toEqual([
      expect.stringMatching(/delete\s+filter:x\s+wanted\/3/),
    ]);
    // The same from the log, after a reload.
    await page.reload();
    await list.getByRole('option').first().waitFor();
    expect(await list.getByRole('option').allInnerTexts()).toEqual([expect.stringContaining('wanted/3')]);
  });

  test('counts new updates while the list is paused, and says how many of a flood were sampled away', async () => {
    await visit(page, '#/updates?ns=flood');
    await shows(page, 'No update matches the filter');
    const set = (key: number) => ({
      type: 'context.set',
      namespace: 'flood',
      key: `k${key}`,
      value: key,
      agent: 'hose',
    });
    await live.ask([set(1), set(2)]);
    const list = page.getByRole('listbox', { name: 'Updates, newest first' });
    await list.getByText('k2').waitFor();
    await page.getByRole('button', { name: 'Pause' }).click();
    await live.ask(set(3));
    await page.getByRole('button', { name: 'Resume · 1 new' }).click();
    await list.getByText('k3').waitFor();
    await live.ask(Array.from({ length: 3_000 }, (_, key) => set(key)));
    await page.getByRole('status').filter({ hasText: '3,003 new since you opened it' }).waitFor();
    const badge = await page.getByText(/sampled away/).textContent();
    const shown = await list.getByRole('option').first().getAttribute('aria-setsize');
    expect(Number(badge?.replaceAll(/\D/g, '')) + Number(shown)).toBe(3_003);
    await page
      .getByRole('status')
      .filter({ hasText: `${shown} updates in the list` })
      .waitFor();
  });

  test('the sequence names agent, key and namespace of each update', async () => {
    await visit(page, '#/updates?ns=filter:x&mode=sequence');
    const sent = page.getByRole('option', { name: 'agent-b: set wanted/2 in filter:x' });
    await sent.click();
    await page.getByRole('heading', { name: /^Update \d/ }).waitFor();
    await page.locator('.facts', { hasText: 'agent-b' }).waitFor();
  });

  test('shows an entry with value, version, agent and expiry, and its history with differences', async () => {
    const entry = { type: 'context.set', namespace: 'page:entry', key: 'profile/one', agent: '<i>agent</i>' };
    await live.ask({ ...entry, value: { markup: MARKUP, password: SECRET, count: 1 } });
    await live.ask({ ...entry, value: { markup: MARKUP, password: SECRET, count: 2, more: true }, ttl: '10m' });
    await visit(page, '#/data');
    await page.getByRole('treeitem', { name: /^page:/ }).click();
    await page.getByRole('treeitem', { name: /^entry/ }).click();
    await page.getByRole('treeitem', { name: /^profile\/one/ }).click();
    await page.locator('.facts', { hasText: '<i>agent</i>' }).waitFor();
    await page.locator('.facts', { hasText: /Version\s*2/ }).waitFor();
    await page.locator('.facts', { hasText: /Expires\s*in 9 min/ }).waitFor();
    await page.locator('.json').getByText(`"${MARKUP}"`).waitFor();
    expect(await page.locator('.main b:text("bold"), .main img').count()).toBe(0);
    expect(await page.title()).toContain('Data');
    const differences = page.getByRole('list', { name: 'Differences' });
    await differences.getByText('more true').waitFor();
    expect(await differences.getByRole('listitem').allInnerTexts()).toEqual(['count 1 → 2', 'more true']);
  });

  test('loads a list again if updates had overtaken it', async () => {
    await visit(page, '#/overview');
    // Until the test has seen it: the page loads the list again by itself.
    let isOvertaken = true;
    await page.route(
      (url) => url.pathname === '/api/namespaces',
      async (asked) => {
        const response = await asked.fetch();
        const list = await response.json();
        const json = isOvertaken ? { ...list, items: [], total: 0, current: false } : list;
        await asked.fulfill({ response, json });
      },
    );
    await visit(page, '#/data');
    await shows(page, 'Nothing is stored');
    isOvertaken = false;
    await page.getByRole('treeitem', { name: /^page:/ }).waitFor();
    await page.unrouteAll({ behavior: 'wait' });
  });

  test('never sends a secret to the page', async () => {
    await visit(page, '#/data?ns=page:entry&key=profile/one');
    await page.locator('.json-hidden').first().waitFor();
    const received = await waitFor(async () => {
      const text = await opened.received();
      expect(text).toContain('[hidden ');
      return text;
    });
    expect(received).not.toContain(SECRET);
    expect(await page.content()).not.toContain(SECRET);
  });

  test('stores an edit under the version check, and shows both values after a conflict', async () => {
    await live.ask({ type: 'context.set', namespace: 'page:entry', key: 'plan', value: { step: 1 }, agent: 'first' });
    await visit(page, '#/data?ns=page:entry&key=plan');
    // The entry shown before has such a button, too.
    await page.getByRole('heading', { name: 'page:entry plan' }).waitFor();
    await page.getByRole('button', { name: 'Edit' }).click();
    const dialog = page.getByRole('dialog', { name: 'Edit plan' });
    const text = dialog.getByRole('textbox', { name: 'Value as JSON' });
    await text.fill('{ "step": ');
    await dialog.getByRole('status').getByText('Not JSON: a value is missing at the end.').waitFor();
    expect(await dialog.getByRole('button', { name: 'Store' }).isDisabled()).toBe(true);
    await text.fill('{ "step": 2 }');
    await live.ask({
      type: 'context.set',
      namespace: 'page:entry',
      key: 'plan',
      value: { step: 9 },
      agent: 'second',
    });
    await dialog.getByRole('button', { name: 'Store' }).click();
    await dialog.getByText('second has changed the entry meanwhile').waitFor();
    await dialog.getByText('step 9 → 2').waitFor();
    expect(await live.ask({ type: 'context.get', namespace: 'page:entry', key: 'plan' })).toEqual([{ step: 9 }]);
    await dialog.getByRole('button', { name: /^Replace version/ }).click();
    await dialog.waitFor({ state: 'detached' });
    expect(await live.ask({ type: 'context.get', namespace: 'page:entry', key: 'plan' })).toEqual([{ step: 2 }]);
    // Deletes the version that is shown.
    await page.locator('.facts', { hasText: /Version\s*5/ }).waitFor();
    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click();
    await shows(page, 'There is no such entry now');
    await page.locator('.history').getByText('delete', { exact: true }).first().waitFor();
  });

  test('health takes a snapshot and verifies', async () => {
    await page.getByRole('link', { name: 'Health' }).click();
    await page.getByRole('button', { name: 'Back up now' }).click();
    await page.getByRole('cell', { name: 'whole' }).first().waitFor();
    await page.getByRole('button', { name: 'Verify', exact: true }).click();
    await shows(page, 'no problems');
    await shows(page, 'No mirror');
  });

  test('shows actors of other programs with their statechart', async () => {
    const traffic = createMachine({
      id: 'traffic',
      initial: 'red',
      states: {
        red: { on: { next: 'green' } },
        green: { initial: 'walking', states: { walking: { on: { next: 'waiting' } }, waiting: {} } },
      },
    });
    const inspector = createWebSocketInspector({ url: `ws://127.0.0.1:${live.port}/api/foreign?token=${TOKEN}` });
    const actor = createActor(traffic, { inspect: inspector.inspect }).start();
    actor.send({ type: 'next' });
    await page.getByRole('link', { name: 'Actors' }).click();
    await page.getByRole('img', { name: 'Statechart traffic; now in green.walking' }).waitFor();
    actor.send({ type: 'next' });
    await page.locator('[data-state="green.waiting"].is-current').waitFor();
    actor.stop();
    inspector.stop();
  });

  test('opens and closes the tree with the arrow keys', async () => {
    await visit(page, '#/data');
    const tree = page.getByRole('tree', { name: 'Namespaces and keys' });
    await tree.getByRole('treeitem').first().waitFor();
    await tree.focus();
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowRight');
    await tree.getByRole('treeitem', { name: /^task-0\// }).waitFor();
    await page.keyboard.press('ArrowLeft');
    await tree.getByRole('treeitem', { name: /^task-0\// }).waitFor({ state: 'detached' });
  });

  test('logs no error in all of this', async () => {
    // The browser logs the answers to a conflict and to a deleted entry.
    const expected = /status of (404|409)/;
    expect(opened.problems.filter((problem) => !expected.test(problem))).toEqual([]);
  });
});
