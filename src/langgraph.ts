export { ContextCacheSaver, type ContextCacheSaverOptions } from './integrations/langgraph-saver.ts';
export {
  ContextCacheStore,
  type ContextCacheStoreOptions,
  type ContextCacheStoreTtl,
} from './integrations/langgraph-store.ts';
