import { toError } from '../core/errors.ts';
import type { Report } from '../core/report.ts';
import type { Inspector, InspectorOptions } from '../engine/inspector-options.ts';
import { INSPECTOR_OPTIONS } from '../engine/option-names.ts';
import type { Inspectable } from '../inspector/inspectable.ts';

/**
 * Serves a page for a browser that shows a cache: its actors, its data, each update, and the state at any position. Loads
 * and measures nothing before the call, nor while no page is open. Closes with the cache.
 *
 * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION`, also if the port is taken; `CLOSED`.
 *
 * @example
 * ```ts
 * const { url } = await startInspector(cache, { allowWrite: true });
 * console.log(`Look at ${url}`);
 * ```
 */
export async function startInspector(cache: Inspectable, options: InspectorOptions = {}): Promise<Inspector> {
  INSPECTOR_OPTIONS.check(options);
  const { InspectorServer } = await import('../inspector/server/inspector-server.ts');
  return InspectorServer.start(cache, options);
}

/** Starts the inspector of a cache that was created with the `inspector` option. */
export function startOwnInspector(cache: Inspectable, options: true | InspectorOptions, report: Report): void {
  const given = options === true ? {} : options;
  const onListening = (url: string) => process.stderr.write(`Inspector: ${url}\n`);
  startInspector(cache, { onListening, ...given }).catch((error) => report(toError(error), { source: 'inspector' }));
}
