export {
  ContextCacheByteStore,
  type ContextCacheByteStoreOptions,
  ContextCacheChatHistory,
  type ContextCacheChatHistoryOptions,
  ContextCacheLLMCache,
  type ContextCacheLLMCacheOptions,
} from './integrations/langchain.ts';
