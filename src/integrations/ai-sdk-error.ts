/**
 * Runs what uses the cache. Rejects with an `AISDKError`, which has the error of the cache as its cause. Loads the SDK only then,
 * so that the entry can be imported without it.
 */
export async function sdkErrors<Result>(run: () => Result | PromiseLike<Result>): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    throw await sdkError(error instanceof Error ? error.message : String(error), error);
  }
}

/** Returns an error of the SDK. */
export async function sdkError(message: string, cause?: unknown): Promise<Error> {
  const { AISDKError } = await import('ai');
  return new AISDKError({ name: 'AI_ContextCacheError', message, cause });
}
