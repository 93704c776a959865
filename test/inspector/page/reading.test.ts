import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildDist } from '../../support/dist.ts';
import { waitFor } from '../../support/inspector.ts';
import { type LiveProcess, type Opened, open, startBrowser, startLive, visit } from '../../support/inspector-page.ts';
import { freePort } from '../../support/server-process.ts';
import { tempDir } from '../../support/temp-dir.ts';

const LONG_NAME = 'travel-concierge-assistant';

const set = (namespace: string, key: string, value: unknown, agent: string, more: object = {}) => ({
  ...{ type: 'context.set', namespace, key, value, agent },
  ...more,
});

describe('a cache with several agents, read in the page', () => {
  let live: LiveProcess;
  let browser: Browser;
  let opened: Opened;
  let page: Page;
  let redisPort: number;

  const option = (name: string | RegExp) => page.getByRole('option', { name });
  const item = (name: string | RegExp) => page.getByRole('treeitem', { name });
  const texts = (selector: string) => page.locator(selector).allInnerTexts();

  beforeAll(async () => {
    await buildDist();
    // Nothing listens there: a Redis that is down.
    redisPort = await freePort();
    const cache = { redisUrl: `redis://user:hush@127.0.0.1:${redisPort}/0` };
    live = await startLive({ dataDir: join(await tempDir('page'), 'data'), cache });
    // Positions 1 to 40, 41 to 80, and a few more.
    await live.ask(Array.from({ length: 40 }, (_, at) => set('first/one', `key-${at}`, at, 'early')));
    await live.ask(Array.from({ length: 40 }, (_, at) => set(`task/task-${at % 12}/run`, 'step', at, LONG_NAME)));
    await live.ask(set('trip:lisbon', 'plan', { city: 'Lisbon' }, 'planner'));
    await live.ask(set('trip:lisbon', 'answer', JSON.stringify({ flights: [{ id: 'TP 258' }] }), 'searcher'));
    await live.ask(set('trip:lisbon', 'plan', 'late', 'critic', { ifVersion: 7 })).catch(() => {});
    browser = await startBrowser();
    opened = await open(browser, live.url);
    page = opened.page;
  });
  afterAll(async () => {
    await browser?.close();
    await live?.[Symbol.asyncDispose]();
  });

  test('the overview lists agents and conflicts', async () => {
    const agents = page.locator('.card', { has: page.getByRole('heading', { name: 'Agents' }) });
    await agents.getByRole('row', { name: new RegExp(`^${LONG_NAME} 40 0`) }).waitFor();
    await agents.getByRole('row', { name: /^critic 0 1 / }).waitFor();
    await page.locator('.figure', { hasText: 'Agents' }).locator('dd', { hasText: /^5 / }).waitFor();
    await page.locator('.figure', { hasText: 'Conflicts' }).locator('dd', { hasText: /^1 / }).waitFor();
    const conflicts = page.getByRole('list', { name: 'Conflicts, newest first' });
    await conflicts.getByText('expected v7, found v1').waitFor();
    await agents.getByRole('link', { name: 'planner' }).click();
    await page.waitForURL(/#\/updates\?agent=planner/);
  });

  test('counts as many namespaces in overview, actors and data', async () => {
    await visit(page, '#/overview');
    await page.locator('.figure', { hasText: 'Namespaces' }).locator('dd', { hasText: /^15 / }).waitFor();
    await visit(page, '#/actors');
    await page.locator('.group-title', { hasText: 'Namespaces 15' }).waitFor();
    await visit(page, '#/data');
    await page.getByText('15 namespaces').waitFor();
  });

  test('explains the gaps of the charts', async () => {
    await page.route(
      (url) => url.pathname === '/api/overview',
      async (asked) => {
        const response = await asked.fetch();
        const overview = await response.json();
        const [sample] = overview.samples;
        const earlier = [60, 59, 58].map((seconds) => ({ ...sample, at: sample.at - seconds * 1_000 }));
        await asked.fulfill({ response, json: { ...overview, samples: [...earlier, ...overview.samples] } });
      },
    );
    await visit(page, '#/overview');
    await page.getByText('Shaded spans were not measured').waitFor();
    await page.unrouteAll({ behavior: 'wait' });
  });

  test('the updates have column headers, a count that agrees with the list, and a search in values', async () => {
    await visit(page, '#/updates');
    await option(/answer/).waitFor();
    expect((await texts('.update-head span')).join(' ')).toBe('Time Position Change Namespace Key Value Agent');
    const shown = await page.getByRole('option').first().getAttribute('aria-setsize');
    await page
      .getByRole('status')
      .filter({ hasText: `${shown} updates in the list` })
      .waitFor();
    await page.getByRole('textbox', { name: 'Value contains' }).fill('"TP 258"');
    await page.getByRole('status').filter({ hasText: '1 update in the list' }).waitFor();
    expect(await texts('.list-row')).toEqual([expect.stringContaining('answer')]);
    await live.ask([set('trip:porto', 'other', 'LH 1', 'searcher'), set('trip:porto', 'same', '"TP 258"', 'searcher')]);
    await page.getByRole('status').filter({ hasText: '2 updates in the list' }).waitFor();
    await page.getByRole('status').filter({ hasText: '1 new since you opened it' }).waitFor();
  });

  test('the lanes of the sequence are those of the visible rows, with whole names', async () => {
    await visit(page, '#/updates?mode=sequence&ns=*/*');
    const lanes = async () => (await texts('.lane-head strong')).map((name) => name.replaceAll('\n', ''));
    await waitFor(async () => expect(await lanes()).toContain(LONG_NAME));
    expect(await lanes()).not.toContain('early');
    const cut = () =>
      page.evaluate(() =>
        [...document.querySelectorAll('.lane-head')].filter((head) => head.scrollWidth > head.clientWidth),
      );
    expect(await cut()).toEqual([]);
    await page.getByRole('listbox').focus();
    await page.keyboard.press('End');
    await waitFor(async () => expect(await lanes()).toEqual(['early', 'first/one']));
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Update 1', exact: true }).waitFor();
  });

  test('the data are in natural order', async () => {
    await visit(page, '#/data');
    await item(/^task\//).click();
    await item(/^task-10/).waitFor();
    const labels = (await texts('.tree-namespace')).filter((name) => name.startsWith('task-'));
    expect(labels).toEqual(Array.from({ length: 12 }, (_, at) => `task-${at}/run`));
  });

  test('the search finds namespaces, keys and values, and opens a hit', async () => {
    const search = page.getByRole('searchbox', { name: 'Search names and values' });
    await search.fill('lisbon');
    await page.getByText('2 hits').waitFor();
    await search.fill('258');
    await option(/trip:lisbon answer .*TP 258.* value/).click();
    await page.getByRole('heading', { name: 'trip:lisbon answer' }).waitFor();
    await search.fill('nowhere to be found');
    await page.getByText('Nothing contains').waitFor();
    await search.fill('');
  });

  test('JSON in a string is shown as JSON, and as the string on request', async () => {
    await visit(page, '#/data?ns=trip:lisbon&key=answer');
    const value = page.locator('.value-box');
    await value.getByText('flights:').waitFor();
    await value.getByRole('button', { name: 'show the string' }).click();
    await value.getByText('{"flights":[{"id":"TP 258"}]}').waitFor();
    await value.getByRole('button', { name: 'show as JSON' }).click();
    await value.getByText('flights:').waitFor();
  });

  test('the editor marks the first error while one types, and leads to it', async () => {
    await visit(page, '#/data?ns=trip:lisbon&key=plan');
    await page.getByRole('heading', { name: 'trip:lisbon plan' }).waitFor();
    await page.getByRole('button', { name: 'Edit' }).click();
    const text = page.getByRole('textbox', { name: 'Value as JSON' });
    await text.fill('{\n  "a": 1\n  "b": 2\n}');
    await page.getByText('Not JSON: a comma or } is missing.').waitFor();
    expect(await text.getAttribute('aria-invalid')).toBe('true');
    expect(await texts('.editor-lines .is-wrong')).toEqual(['3']);
    await page.getByRole('button', { name: 'Line 3, column 3' }).click();
    expect(await text.evaluate((field: HTMLTextAreaElement) => field.selectionStart)).toBe(13);
    await page.keyboard.press('Escape');
  });

  test('time travel filters by namespace and agent, and steps from match to match', async () => {
    await visit(page, '#/time?at=80');
    await page.getByRole('textbox', { name: 'Namespace' }).fill('first/*');
    await page.getByRole('textbox', { name: 'Agent' }).fill('early');
    await waitFor(async () => {
      expect(new Set(await texts('.around .u-namespace'))).toEqual(new Set(['first/one']));
    });
    await page.getByRole('button', { name: 'Previous matching update' }).click();
    await page.waitForURL(/at=40\b/);
    await page.getByRole('button', { name: 'Next matching update' }).click();
    await page.getByText('No later update matches the filter.').waitFor();
  });

  test('a selected update opens its key below', async () => {
    await page.getByRole('button', { name: 'Clear the filter' }).click();
    await visit(page, '#/time?at=40');
    await page.locator('[data-position="38"]').click();
    await page.waitForURL(/at=38&ns=first%2Fone&key=key-37/);
    await page.getByRole('heading', { name: 'first/one key-37' }).waitFor();
  });

  test('the timeline has an axis and a legend, and a comparison can be swapped', async () => {
    await visit(page, '#/time?at=10&b=60');
    await page.getByText('updates per second, logarithmic').waitFor();
    await page.getByText('compared with', { exact: true }).waitFor();
    expect(await page.locator('.timeline-axis b').allInnerTexts()).toContain('0');
    await page.getByRole('button', { name: 'Swap' }).click();
    await page.waitForURL(/at=60&b=10/);
  });

  test('the actors are grouped, and a statechart fits its card', async () => {
    await visit(page, '#/actors?id=namespace:task/task-10/run');
    await page.getByRole('img', { name: /^Statechart namespace/ }).waitFor();
    await item(/^task\/ 12/).waitFor();
    await item('task-10/run').waitFor();
    const [drawing = 0, card = 0] = await page.evaluate(() => {
      const width = (selector: string) => document.querySelector(selector)?.getBoundingClientRect().width;
      return [width('.statechart'), width('.statechart-frame')];
    });
    expect(drawing).toBeLessThanOrEqual(card + 1);
    expect(await page.locator('.statechart').textContent()).not.toContain('…');
    await item(/^task\/ 12/).click();
    await item('task-10/run').waitFor({ state: 'detached' });
  });

  test('health names address and state of a Redis that is down, without its password', async () => {
    await visit(page, '#/health');
    const mirror = page.locator('.card', { has: page.getByRole('heading', { name: 'Mirror · Redis' }) });
    await mirror.getByText(`redis://127.0.0.1:${redisPort}`, { exact: true }).waitFor();
    await mirror
      .locator('.badge')
      .getByText(/reconnecting|failed/)
      .waitFor();
    await page.getByText('The snapshots cannot be listed').waitFor();
    expect(await opened.received()).not.toContain('hush');
  });

  test('a phone shows that writing is allowed, and names both ends of each arrow', async () => {
    const phone = await open(browser, live.url, { viewport: { width: 390, height: 844 } });
    await phone.page.locator('.topbar').getByText('may write').waitFor();
    await visit(phone.page, `#/updates?mode=sequence&agent=${LONG_NAME}`);
    await phone.page.locator('.seq-narrow').first().waitFor();
    const cut = await phone.page.evaluate(() =>
      [...document.querySelectorAll('.seq-name')].flatMap((name) =>
        name.scrollWidth > name.clientWidth + 1 || name.scrollHeight > name.clientHeight + 1 ? [name.textContent] : [],
      ),
    );
    expect(cut).toEqual([]);
    expect(phone.problems).toEqual([]);
    await phone.page.context().close();
  });

  test('an empty key is listed, opened and linked like any other', async () => {
    await live.ask(set('empty', '', 'of the empty key', 'planner'));
    await visit(page, '#/data?ns=empty');
    await item(/""/).click();
    await page.waitForURL(/ns=empty&key=$/);
    await page.locator('.card', { hasText: 'of the empty key' }).first().waitFor();
    await visit(page, '#/time?at=85&ns=empty&key=');
    await page.getByRole('heading', { name: /^empty ""/ }).waitFor();
  });

  test('logs no error in all of this', () => {
    expect(opened.problems).toEqual([]);
  });
});
