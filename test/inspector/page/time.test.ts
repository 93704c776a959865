import { join } from 'node:path';
import type { Browser, JSHandle, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AIRLINE_UPDATES, airlinePath } from '../../support/airline.ts';
import { jsonLines, run } from '../../support/cli.ts';
import { buildDist } from '../../support/dist.ts';
import { type LiveProcess, type Opened, open, startBrowser, startLive } from '../../support/inspector-page.ts';
import { tempDir } from '../../support/temp-dir.ts';

const PAST = 5_000;
const NAMESPACE = 'airline/task-0/trial-0';

const LATER = ['message/0001', 'message/0002', 'message/0003', 'message/0004'];
const LAST = AIRLINE_UPDATES + LATER.length;

const CHANGES = ['added', 'changed', 'removed'] as const;

interface Line {
  readonly namespace: string;
  readonly key: string;
  readonly value: unknown;
  readonly version: number;
}

/** Resolves when the page says "Copied", which it does only briefly: an observer in the page watches each change. */
function saysCopied(page: Page): Promise<JSHandle<{ readonly said: Promise<void> }>> {
  return page.evaluateHandle(() => {
    const said = new Promise<void>((resolve) => {
      const observer = new MutationObserver(() => {
        if (document.querySelector('button[aria-label="Copied"]') !== null) resolve();
      });
      observer.observe(document.body, { attributes: true, childList: true, subtree: true });
    });
    return { said };
  });
}

describe('time travel', () => {
  let dataDir: string;
  let live: LiveProcess;
  let browser: Browser;
  let opened: Opened;
  let page: Page;
  /** Entries of the past that the page has shown. */
  const shown: Line[] = [];
  const differences: string[] = [];

  const slider = () => page.getByRole('slider', { name: 'Position in the log' });
  const isAt = (position: number) => page.waitForURL(new RegExp(`at=${position}\\b`));
  const heading = (text: string) => page.getByRole('heading', { name: text }).waitFor();

  beforeAll(async () => {
    await buildDist();
    dataDir = join(await tempDir('page'), 'data');
    live = await startLive({ dataDir });
    await live.apply(airlinePath);
    // Makes the present differ from the past.
    await live.ask(LATER.map((key) => ({ type: 'context.set', namespace: NAMESPACE, key, value: 'later' })));
    browser = await startBrowser();
    opened = await open(browser, live.url, { permissions: ['clipboard-read', 'clipboard-write'] });
    page = opened.page;
  });
  afterAll(async () => {
    await browser?.close();
    await live?.[Symbol.asyncDispose]();
  });

  test('the slider goes to a position and puts it into the address', async () => {
    await page.getByRole('link', { name: 'Time travel' }).click();
    await slider().fill(String(PAST));
    await isAt(PAST);
    await heading('Update 5,000');
    await page.locator('.around [aria-current="step"]', { hasText: '5,000' }).waitFor();
  });

  test('shows the data of a view', async () => {
    for (const part of ['airline/', 'task-0/', 'trial-0 ']) {
      await page
        .getByRole('treeitem', { name: new RegExp(`^${part}`) })
        .first()
        .click();
    }
    await page
      .getByRole('treeitem', { name: /^message\// })
      .first()
      .click();
    const keys = page.getByRole('treeitem', { name: /^0\d+/ });
    await keys.first().waitFor();
    for (const name of (await keys.allTextContents()).slice(0, 4)) {
      const label = name.slice(0, 4);
      await page.getByRole('treeitem', { name: new RegExp(`^${label}`) }).click();
      const card = page.locator('.card', { has: page.getByRole('heading', { name: `${NAMESPACE} message/${label}` }) });
      const version = await card.locator('.facts > div', { hasText: 'Version' }).locator('dd').textContent();
      const copied = await saysCopied(page);
      await card.getByRole('button', { name: 'Copy the value' }).click();
      await copied.evaluate(({ said }) => said);
      const value: unknown = JSON.parse(await page.evaluate(() => navigator.clipboard.readText()));
      shown.push({ namespace: NAMESPACE, key: `message/${label}`, value, version: Number(version) });
    }
    expect(shown).toHaveLength(4);
  });

  test('steps, plays to the end and stops there', async () => {
    await page.getByRole('button', { name: 'One update back' }).click();
    await isAt(PAST - 1);
    await heading('Update 4,999');
    await page.getByRole('button', { name: 'One update on' }).click();
    await isAt(PAST);
    await slider().fill('8900');
    await isAt(8_900);
    await page.getByRole('combobox', { name: 'Speed, updates per second' }).selectOption('1000');
    await page.getByRole('button', { name: 'Play' }).click();
    await isAt(LAST);
    await page.getByRole('button', { name: 'Play' }).waitFor();
  });

  test('compares two positions', async () => {
    await slider().fill('5400');
    await isAt(5_400);
    await page.getByRole('button', { name: 'Compare from here' }).click();
    await slider().fill(String(PAST));
    await heading('From position 5,000 to 5,400');
    for (const change of CHANGES) {
      const text = await page.getByText(new RegExp(`^\\d+ ${change}$`)).textContent();
      differences.push(`${Number.parseInt(text ?? '', 10)} ${change}`);
    }
  });

  test('forks a branch at the position; a change in it stays in it', async () => {
    await page.getByRole('button', { name: 'Fork from here' }).click();
    const link = page.getByRole('link', { name: 'Open its inspector' });
    const address = await link.getAttribute('href');
    const branch = await open(browser, address ?? '');
    await branch.page.locator('.side').getByText(`branch of position ${PAST}`).waitFor();
    await branch.page.locator('.figure', { hasText: 'Position' }).getByText('5,000').waitFor();
    await branch.page.goto(`${address?.split('#')[0]}#/data?ns=${NAMESPACE}&key=message/0001`);
    await branch.page.getByRole('button', { name: 'Delete', exact: true }).click();
    await branch.page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click();
    await branch.page.getByText('There is no such entry now').waitFor();
    expect(await live.ask({ type: 'context.has', namespace: NAMESPACE, key: 'message/0001' })).toEqual([true]);
    await branch.page.close();
  });

  test('says that the process has ended, keeps what it shows, and reconnects by itself', async () => {
    await live.shutdown();
    await page.getByText('The process does not answer.').waitFor();
    await heading('From position 5,000 to 5,400');
    const { stdout } = await run(['dump', '--at', String(PAST), '--namespace', NAMESPACE, '--data-dir', dataDir]);
    const dumped = jsonLines<Line & Record<string, unknown>>(stdout);
    for (const line of shown) expect(dumped).toContainEqual(line);
    const diff = await run(['diff', String(PAST), '5400', '--data-dir', dataDir, '--json']);
    const changes = jsonLines<{ change: string }>(diff.stdout).map(({ change }) => change);
    const counted = CHANGES.map((kind) => `${changes.filter((change) => change === kind).length} ${kind}`);
    expect(differences).toEqual(counted);
    live = await startLive({ dataDir, port: live.port });
    await page.getByText('The process does not answer.').waitFor({ state: 'detached' });
    await page.getByRole('status').getByText('live', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Stop comparing' }).click();
    await heading('Update 5,000');
    expect(page.url()).toContain(`at=${PAST}`);
    const lost = /ERR_CONNECTION_REFUSED|WebSocket connection|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/;
    expect(opened.problems.filter((problem) => !lost.test(problem))).toEqual([]);
  });

  test('a link with the token opens the same view; without a token the page asks for it', async () => {
    const link = page.url();
    const other = await open(browser, link);
    await other.page.getByRole('heading', { name: 'This page needs its token' }).waitFor();
    await other.page.getByRole('textbox', { name: 'Address or token' }).fill(live.url);
    await other.page.getByRole('button', { name: 'Open' }).click();
    await other.page.getByRole('heading', { name: 'Update 5,000' }).waitFor();
    expect(other.problems).toEqual([]);
  });
});
