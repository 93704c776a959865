export { KeyvContextCache, type KeyvContextCacheOptions } from './integrations/keyv.ts';
