export { type ContextCacheSuiteOptions, contextCacheSuite } from './context-cache-suite.ts';
export { snapshotStoreSuite } from './snapshot-store-suite.ts';
export { updateLogSuite } from './update-log-suite.ts';
