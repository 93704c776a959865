export {
  type AddItemsOptions,
  ContextCacheSession,
  type ContextCacheSessionOptions,
} from './integrations/openai-agents.ts';
