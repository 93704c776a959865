export {
  type ContextCacheDriver,
  type ContextCacheDriverOptions,
  contextCacheDriver,
  type DriverCall,
  type Item,
  type ItemChange,
  type ItemMeta,
} from './integrations/unstorage.ts';
