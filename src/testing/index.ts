export { type CacheSuiteOptions, cacheSuite, type ServedUnderTest } from './cache-suite.ts';
export { type CacheUnderTest, type ContextCacheSuiteOptions, contextCacheSuite } from './context-cache-suite.ts';
export type { StampedStore, SuiteCache, SuiteHandle, SuiteTraits, SuiteView } from './served-cache.ts';
export { type SnapshotStoreSuiteOptions, type StoreUnderTest, snapshotStoreSuite } from './snapshot-store-suite.ts';
export { type SubjectKeysSuiteOptions, type SubjectKeysUnderTest, subjectKeysSuite } from './subject-keys-suite.ts';
export type { LogUnderTest } from './update-log-samples.ts';
export { type UpdateLogSuiteOptions, updateLogSuite } from './update-log-suite.ts';
