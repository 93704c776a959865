import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { vi } from 'vitest';
import { projectRoot } from './dist.ts';
import { findProgram, freePort } from './server-process.ts';

/** Screenshots of the page are kept here until the next run. */
const SCREENS = join(projectRoot, 'node_modules/.cache/inspector-screens');
export const TOKEN = 'token-of-the-tests-0123456789';

// Every awaited event must arrive, however slow the machine is: a page may wait long, and a test for several events.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 });
const PATIENCE_MS = 60_000;

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A process with a cache and its inspector. */
export interface LiveProcess extends AsyncDisposable {
  /** With the token. */
  readonly url: string;
  readonly port: number;
  /** Executes commands, one after another or all at once. */
  ask(command: object | readonly object[]): Promise<unknown>;
  /** Executes the commands of a file up to line `to`, and returns the position after them. */
  apply(file: string, to?: number): Promise<number>;
  /** Writes `count` times, each into the next of the namespaces, as fast as it can. */
  flood(options: { readonly namespaces: number; readonly updates: number; readonly from?: number }): Promise<number>;
  /** Shuts the cache down and ends the process. */
  shutdown(): Promise<void>;
}

/** A message from the process. */
interface Told {
  readonly id: number;
  readonly answer?: unknown;
  readonly error?: string;
}

interface LiveOptions {
  readonly dataDir: string;
  readonly port?: number;
  readonly allowWrite?: boolean;
  readonly cache?: object;
  /** Path of a module whose default export has further options of the cache, such as functions. */
  readonly module?: string;
}

/** Starts a process; resolves when its page can be opened. */
export async function startLive(options: LiveOptions): Promise<LiveProcess> {
  const { dataDir, port, allowWrite = true, cache = {}, module } = options;
  const place = port ?? (await freePort());
  const args = [
    join(projectRoot, 'dist'),
    JSON.stringify({ dataDir, ...cache }),
    JSON.stringify({ port: place, token: TOKEN, allowWrite }),
    ...(module === undefined ? [] : [module]),
  ];
  const child = fork(join(import.meta.dirname, 'live-child.mjs'), args, { execArgv: [] });
  running.add(child);
  child.once('exit', () => running.delete(child));
  const waiting = new Map<number, (message: Told) => void>();
  child.on('message', (message: Told) => waiting.get(message.id)?.(message));
  child.once('exit', () => {
    for (const [id, end] of waiting) end({ id, error: 'the process has ended' });
  });
  const answerTo = (id: number) =>
    new Promise<unknown>((resolve, reject) => {
      waiting.set(id, ({ answer, error }) => {
        waiting.delete(id);
        if (error === undefined) resolve(answer);
        else reject(new Error(error));
      });
    });
  const url = (await answerTo(0)) as string;
  let last = 0;
  const tell = (action: string, argument: unknown) => {
    last += 1;
    const answer = answerTo(last);
    child.send({ id: last, action, argument });
    return answer;
  };
  return {
    url,
    port: place,
    ask: (command) => tell('ask', command),
    apply: (file, to) => tell('apply', { file, to }) as Promise<number>,
    flood: (options) => tell('flood', options) as Promise<number>,
    shutdown: async () => {
      const gone = once(child, 'exit');
      child.send({ id: -1, action: 'shutdown' });
      await gone;
    },
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

/** Debian's Chromium, or the one that `CHROMIUM` names. */
export function startBrowser(): Promise<Browser> {
  const executablePath = findProgram('chromium', process.env.CHROMIUM);
  if (executablePath === undefined) {
    throw new Error('chromium was not found: run "node scripts/test-servers.mjs", or set CHROMIUM to its path.');
  }
  return chromium.launch({ executablePath, timeout: PATIENCE_MS, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}

/** A page and its complaints. */
export interface Opened {
  readonly page: Page;
  /** Errors and warnings of the console, uncaught errors, and violations of the content security policy. */
  readonly problems: string[];
  /** Every message that the process has sent to the page so far. */
  received(): Promise<string>;
}

/** Opens an address in a window of its own, with its own storage. */
export async function open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const problems: string[] = [];
  const received: Promise<string>[] = [];
  page.on('pageerror', (error) => problems.push(String(error.stack)));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) problems.push(message.text());
  });
  page.on('websocket', (socket) =>
    socket.on('framereceived', ({ payload }) => received.push(Promise.resolve(String(payload)))),
  );
  page.on('response', (response) => {
    if (response.url().includes('/api/')) received.push(response.text().catch(() => ''));
  });
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => {
      console.error(`refused by the policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  await page.goto(url);
  return { page, problems, received: async () => (await Promise.all(received)).join('\n') };
}

/** Navigates to another view of the page, as a link does. */
export async function visit(page: Page, hash: string): Promise<void> {
  await page.evaluate((to) => {
    location.hash = to;
  }, hash);
}

/** Saves a screenshot. */
export async function keepScreen(page: Page, name: string): Promise<void> {
  mkdirSync(SCREENS, { recursive: true });
  await page.screenshot({ path: join(SCREENS, `${name}.png`) });
}
