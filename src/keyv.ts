export {
  KeyvContextCache,
  type KeyvContextCacheCapabilities,
  type KeyvContextCacheEntry,
  type KeyvContextCacheOptions,
} from './integrations/keyv.ts';
