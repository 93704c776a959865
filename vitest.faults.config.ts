import { defineConfig } from 'vitest/config';
import { each, run } from './vitest.config.ts';

const long = process.env.FAULTS === 'long';

/** The fault suite: slower, and apart from `npm test`. `FAULTS=long` for its long form. */
export default defineConfig({
  test: {
    ...run,
    ...each,
    include: ['test/faults/**/*.test.ts'],
    exclude: ['**/node_modules/**'],
    testTimeout: long ? 7_200_000 : 600_000,
    // A hook builds the package, which a busy machine takes ten minutes for.
    hookTimeout: 1_200_000,
    // Some measure memory and time.
    maxWorkers: 2,
  },
});
