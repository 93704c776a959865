export * from '../../dist/bench/lib/internals.js';
