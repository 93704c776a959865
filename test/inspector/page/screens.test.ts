import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startInspector } from '../../../src/inspector.ts';
import { airlinePath } from '../../support/airline.ts';
import { clusterOf } from '../../support/cluster.ts';
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

const ENTRY = 'ns=trip%3Alisbon&key=plan';

/** Views, and a part of each that must be there before its picture is taken. */
const VIEWS: readonly (readonly [name: string, address: string, ready: string])[] = [
  ['overview', '#/overview', 'canvas >> nth=3'],
  ['actors', '#/actors?id=follower:index', '.is-current'],
  ['updates', '#/updates?ns=trip:*', '.list-row >> nth=3'],
  ['sequence', '#/updates?mode=sequence', '.sequence .list-row >> nth=5'],
  ['data', `#/data?${ENTRY}`, '.history .difference'],
  ['time', '#/time?at=4000&ns=airline/task-0/trial-0&key=message/0001', '.around [aria-current]'],
  ['compare', '#/time?at=3900&b=4000', '.difference'],
  ['health', '#/health', '.table'],
];

const SIZES = [
  [1280, 800],
  [390, 844],
] as const;

/** Returns the parts that are wider than the window or than their box. */
const overflows = (page: Page): Promise<string[]> =>
  page.evaluate(() => {
    const wide = (box: Element) => box.scrollWidth > box.clientWidth + 1;
    const boxes = [document.documentElement, ...document.querySelectorAll('.main, .view, .card-head, .figure, .tools')];
    return boxes.filter(wide).map((box) => `${box.tagName}.${box.className}`);
  });

describe('how it looks', () => {
  let live: LiveProcess;
  let browser: Browser;

  beforeAll(async () => {
    await buildDist();
    live = await startLive({
      dataDir: join(await tempDir('page'), 'agent-memory'),
      cache: { backup: { enabled: true } },
    });
    await live.apply(airlinePath);
    const trip = (key: string, value: unknown, agent: string) => ({
      ...{ type: 'context.set', namespace: 'trip:lisbon', key, value, agent },
    });
    await live.ask([
      trip('plan', { steps: ['search', 'compare', 'book'], budget: 900 }, 'planner'),
      trip('offer:1', { flight: 'TP 258', price: 780, seats: ['12A', '12B'] }, 'searcher'),
      trip('offer:2', { flight: 'LH 1166', price: 812 }, 'searcher'),
      trip('plan', { steps: ['book'], budget: 900, chosen: 'TP 258' }, 'planner'),
    ]);
    await live.ask({ type: 'context.backup' });
    browser = await startBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await live?.[Symbol.asyncDispose]();
  });

  for (const [width, height] of SIZES) {
    for (const colorScheme of ['light', 'dark'] as const) {
      test(`fits ${width} pixels, ${colorScheme}, and logs no error`, async () => {
        const options = { viewport: { width, height }, colorScheme };
        const { page, problems }: Opened = await open(browser, live.url, options);
        for (const [name, address, ready] of VIEWS) {
          await visit(page, address);
          await page.locator(ready).first().waitFor();
          await page.locator('.spinner').first().waitFor({ state: 'detached' });
          // A drawing finds its size only after it is on the page.
          await waitFor(async () => expect(await overflows(page), name).toEqual([]));
          await keepScreen(page, `${name}-${width}-${colorScheme}`);
        }
        expect(problems).toEqual([]);
        await page.context().close();
      });
    }
  }

  test('keeps the chosen colours', async () => {
    const { page } = await open(browser, live.url, { colorScheme: 'light' });
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await page.locator('.side').getByRole('button', { name: 'Dark' }).click();
    const dark = await background();
    expect(dark).not.toBe(light);
    await page.reload();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    expect(await background()).toBe(dark);
  });
});

describe('an empty cache without write access', () => {
  test('says so in each view, and offers no edit', async () => {
    await buildDist();
    await using live = await startLive({ dataDir: join(await tempDir('page'), 'empty'), allowWrite: false });
    const browser = await startBrowser();
    try {
      const { page, problems } = await open(browser, live.url, { viewport: { width: 390, height: 844 } });
      await visit(page, '#/time');
      await page.getByText('The log is empty').waitFor();
      await keepScreen(page, 'empty-time-390');
      await visit(page, '#/updates');
      await page.getByText('No update matches the filter').waitFor();
      await visit(page, '#/health');
      await page.getByText('No snapshots yet').or(page.getByText('Nowhere to keep snapshots')).waitFor();
      expect(await page.getByRole('button', { name: 'Back up now' }).isDisabled()).toBe(true);
      await live.ask({ type: 'context.set', key: 'a', value: 1 });
      await visit(page, '#/data?ns=default&key=a');
      await page.getByText('read only').first().waitFor();
      await page.locator('.json-number').first().waitFor();
      expect(await page.getByRole('button', { name: 'Edit' }).count()).toBe(0);
      expect(problems).toEqual([]);
    } finally {
      await browser.close();
    }
  });
});

describe('a node of a cluster', () => {
  test('shows the members, the leases, what waits, and why it has left service', async () => {
    await buildDist();
    const { nodes, stream, connections } = await clusterOf(3, { topics: ['plans'], natsUrl: 'nats://127.0.0.1:1' });
    const [node] = nodes;
    if (node === undefined) throw new Error('There is no node.');
    const inspector = await startInspector(node, { port: 0, token: TOKEN });
    const browser = await startBrowser();
    try {
      await Promise.all(nodes.map((each, index) => each.set(`k-${index}`, 1)));
      for (const [width, height] of SIZES) {
        const { page, problems } = await open(browser, inspector.url, { viewport: { width, height } });
        await visit(page, '#/health');
        const card = page.locator('.card', { hasText: 'Cluster · n-1' });
        await card.getByText('ready', { exact: true }).waitFor();
        await card.getByText('nothing waits').waitFor();
        const members = card.getByRole('table', { name: 'Members' });
        for (const name of ['n-1 (this one)', 'n-2', 'n-3']) await members.getByRole('cell', { name }).waitFor();
        await card.getByRole('table', { name: 'Leases' }).getByRole('cell', { name: 'broadcaster' }).waitFor();
        await waitFor(async () => expect(await overflows(page)).toEqual([]));
        await keepScreen(page, `cluster-${width}`);
        expect(problems).toEqual([]);
        await page.context().close();
      }
      const { page } = await open(browser, inspector.url);
      await visit(page, '#/health');
      connections[0]?.cut();
      const waiting = node.set('waits', 1);
      await page.getByText('1 command', { exact: true }).waitFor();
      await page.getByText('not connected', { exact: true }).waitFor();
      connections[0]?.restore();
      await waiting;
      stream.rewind(stream.last - 1);
      await page.getByText(/LOG_CORRUPT: .*older copy/).waitFor();
      await page.locator('.card', { hasText: 'Cluster · n-1' }).getByText('failed', { exact: true }).waitFor();
      await keepScreen(page, 'cluster-failed');
    } finally {
      await browser.close();
      await inspector.close();
    }
  });
});
