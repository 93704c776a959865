import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig, type ViteUserConfig } from 'vitest/config';

type Options = NonNullable<ViteUserConfig['test']>;

const report = process.env.TEST_REPORT;

/** Options of a run. */
export const run: Options = {
  globalSetup: ['test/support/global-setup.ts'],
  // One large value must not hide the other failures in what a run prints.
  diff: { truncateThreshold: 40 },
  reporters: report === undefined ? ['default'] : ['default', ['json', { outputFile: report }]],
};

/** Options of each test. */
export const each: Options = {
  // Only what hangs may come to it: a busy machine takes ten times as long as a quiet one.
  testTimeout: 240_000,
  hookTimeout: 240_000,
  // Servers and timers that a test leaves end with its process.
  pool: 'forks',
  setupFiles: ['test/support/setup.ts'],
  // A worker thread that the code under test starts loads the sources itself.
  execArgv: ['--import', new URL('test/support/typescript.mjs', import.meta.url).href],
  // The built package is loaded as it is.
  server: { deps: { external: [/\/dist\//] } },
};

/** Folders whose files share processes and loaded modules: to load those for each file takes longer than most tests. */
const SHARED = ['actors', 'backends', 'cache', 'core', 'followers', 'past', 'storage', 'subjects', 'verify', 'wire'];

/** Files that count what their process has: sockets, or bytes of memory. */
const COUNT = ['redis-failures', 'event-pusher', 'dropped-namespaces'];

const shared = SHARED.flatMap((folder) => testsIn(`test/${folder}`)).filter(
  (file) => !COUNT.some((name) => file.endsWith(`/${name}.test.ts`)) && !replacesModules(file),
);

export default defineConfig({
  test: {
    ...run,
    // Many tests wait for servers, processes and time-outs, also on a machine with two cores.
    maxWorkers: 3,
    projects: [
      { test: { ...each, name: 'shared', isolate: false, include: shared } },
      {
        test: {
          ...each,
          name: 'isolated',
          include: ['test/**/*.test.ts'],
          exclude: ['**/node_modules/**', 'test/faults/**', ...shared],
        },
      },
    ],
  },
});

function testsIn(folder: string): string[] {
  return readdirSync(join(import.meta.dirname, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => `${folder}/${name}`);
}

/** Returns whether a file replaces modules, which the next file in its process would get. */
function replacesModules(file: string): boolean {
  return readFileSync(join(import.meta.dirname, file), 'utf8').includes('vi.mock(');
}
