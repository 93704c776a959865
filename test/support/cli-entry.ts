// The command line for tests that run it in their own process. Built with the package.
export { run } from '../../src/cli/run.ts';
