import type { ContextStore } from '../cache/context-store.ts';
import type { Duration } from '../core/command.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { AnyNamespaces } from '../core/namespace-types.ts';
import { optionNames } from '../core/options.ts';
import { durationOf } from '../engine/durations.ts';
import { OPEN_NAMES } from '../engine/option-names.ts';
import type { OpenOptions } from '../engine/options.ts';
import { Reporter } from '../monitoring/reporter.ts';
import type { McpAnswers } from '../serve/mcp-route.ts';
import type { ServedCache } from '../serve/served-cache.ts';
import { checkedServerOptions, SERVER_OPTIONS, type ServerOptions } from '../serve/server-options.ts';

/**
 * Options of `AgentContextCache.share`: those of `open`, for the time in which this process holds the directory, and a few
 * more. Give all processes the same ones, because each of them may come to hold the directory.
 */
export interface ShareOptions<S = AnyNamespaces>
  extends Omit<OpenOptions<never, S>, 'dataDir' | 'restoreFrom' | 'primaryCache' | 'inspector' | 'cluster'> {
  /** Options of the server while this process holds the directory. Default: a free port on loopback. */
  readonly server?: ServerOptions | undefined;
  /**
   * Answers MCP requests at `/mcp` while this process holds the directory: `createMcpHttp` of `agent-context-cache/mcp`, or a
   * function that calls it with options. Default: none; `/mcp` is not found.
   */
  readonly mcp?: ((cache: ContextStore) => Promise<McpAnswers>) | undefined;
  /** Ends the wait for the directory. */
  readonly signal?: AbortSignal | undefined;
  /** Longest wait of a request, and of `share` itself, while no process serves the directory. Default 30,000 ms. */
  readonly timeoutMs?: Duration | undefined;
  /**
   * Gives each write an operation id, so that a write that was sent when the holder was lost is sent again to the next one, and
   * done once. Default `true`. With `false` such a write rejects with `OUTCOME_UNKNOWN`; see the option of `connect`.
   */
  readonly repeatWrites?: boolean | undefined;
  /**
   * Time without a sign of life after which the other processes end this one (`SIGKILL`) while it holds the directory, so
   * that one of them can take over. A process that computes for longer without a pause counts as hung: give it a longer time,
   * or `Infinity`, which makes the others wait. At least 250 ms. Default 1,000 ms. Linux only; elsewhere they wait.
   */
  readonly hungAfterMs?: Duration | undefined;
}

const { dataDir: _1, restoreFrom: _2, primaryCache: _3, inspector: _4, cluster: _5, ...HELD } = OPEN_NAMES;

const SHARE_OPTIONS = optionNames<ShareOptions>('AgentContextCache.share', {
  ...HELD,
  server: SERVER_OPTIONS,
  mcp: true,
  signal: true,
  timeoutMs: true,
  repeatWrites: true,
  hungAfterMs: true,
});

/** Options that a cache in memory checks. The others name what is only opened with the directory, or are checked here. */
const REHEARSED = [
  ...(['limits', 'log', 'schemas', 'migrations', 'restart', 'backOff', 'mirrorTimeoutMs', 'maxWaiting'] as const),
  ...(['topics', 'subjectId', 'grants', 'onError', 'clock'] as const),
] as const;

/** The class of the caches, `AgentContextCache`, which this part must not import: that class imports it. */
export interface CacheClass {
  new (options: never): { shutdown(): Promise<unknown> };
  open(options: OpenOptions): Promise<ServedCache>;
}

/** The options after the checks. */
export interface CheckedShareOptions {
  readonly open: OpenOptions;
  readonly server: ServerOptions;
  readonly mcp: ShareOptions['mcp'];
  readonly timeoutMs: number;
  readonly repeatWrites: boolean;
  /** `null`: never. */
  readonly hungAfterMs: number | null;
  readonly reporter: Reporter;
}

/**
 * Checks the options, on a cache in memory, also those that only matter once this process holds the directory.
 *
 * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION`.
 */
export async function checkedShareOptions(Cache: CacheClass, options: ShareOptions): Promise<CheckedShareOptions> {
  // The context is that of this process's code. Writes of the other processes must not be attributed to it.
  const { context: _, ...given } = SHARE_OPTIONS.checked(options);
  const { server = {}, mcp, signal, timeoutMs, hungAfterMs, repeatWrites = true, ...open } = given;
  checkedServerOptions(server);
  if (mcp !== undefined && typeof mcp !== 'function')
    throw invalid('mcp takes a function that creates the answers, such as createMcpHttp of agent-context-cache/mcp.');
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw invalid('signal must be an AbortSignal.');
  if (typeof repeatWrites !== 'boolean') throw invalid('repeatWrites must be true or false.');
  const reporter = new Reporter(open);
  const hungMs = hungAfterMs === Number.POSITIVE_INFINITY ? null : (durationOf('hungAfterMs', hungAfterMs) ?? 1_000);
  if (hungMs !== null && hungMs < 250) throw invalid('hungAfterMs must be at least 250 ms, or Infinity.');
  const rehearsed = Object.fromEntries(REHEARSED.map((name) => [name, open[name]]));
  const rehearsal = new Cache({ ...rehearsed, natsUrl: null } as never);
  await rehearsal.shutdown();
  return {
    ...{ open: open as OpenOptions, server, mcp, hungAfterMs: hungMs, reporter, repeatWrites },
    timeoutMs: durationOf('timeoutMs', timeoutMs) ?? 30_000,
  };
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}
