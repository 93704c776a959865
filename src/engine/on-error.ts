import type { FailureSource } from '../core/report.ts';
import type { EngineOptions } from './options.ts';

/** Calls `onError`. What it throws becomes a warning: it must not break the work whose failure it was called for. */
export function callOnError(onError: NonNullable<EngineOptions['onError']>, error: Error, source: FailureSource): void {
  try {
    onError(error, source);
  } catch (thrown) {
    process.emitWarning(`onError itself threw: ${String(thrown)}`, 'ContextCacheWarning');
  }
}
