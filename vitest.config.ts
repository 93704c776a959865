import { defineConfig } from 'vitest/config';

const report = process.env.TEST_REPORT;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['**/node_modules/**', 'test/faults/**'],
    globalSetup: ['test/support/global-setup.ts'],
    // Only what hangs may come to it: a busy machine takes ten times as long as a quiet one.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    // A file's servers and timers are its own, and end with its process.
    pool: 'forks',
    // A worker thread that the code under test starts loads the sources itself.
    execArgv: ['--import', new URL('test/support/typescript.mjs', import.meta.url).href],
    // The built package is loaded as it is.
    server: { deps: { external: [/\/dist\//] } },
    // Many tests wait for servers, processes and time-outs, also on a machine with two cores.
    maxWorkers: 3,
    // One large value must not hide the other failures in what a run prints.
    diff: { truncateThreshold: 40 },
    reporters: report === undefined ? ['default'] : ['default', ['json', { outputFile: report }]],
  },
});
