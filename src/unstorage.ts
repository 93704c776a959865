export {
  type ContextCacheDriver,
  type ContextCacheDriverOptions,
  contextCacheDriver,
  type DriverCall,
  type ItemChange,
  type ItemMeta,
} from './integrations/unstorage.ts';
