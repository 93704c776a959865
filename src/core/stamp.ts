import { isDataCommand } from './admission.ts';
import type { ContextCommand } from './command.ts';
import { ContextCacheError } from './errors.ts';
import type { Meta } from './meta.ts';
import { optionNames } from './options.ts';
import { type OriginOptions, originOf } from './origin.ts';

/** The agent and the `meta` that a handle or a context adds to each write. */
export type Stamp = Pick<OriginOptions, 'agent' | 'meta'>;

/** Gives the stamp of the running code; an `AsyncLocalStorage` is one. Further properties of its value are ignored. */
export interface StampContext {
  getStore(): Stamp | undefined;
}

const AS_OPTIONS = optionNames<Stamp>('as', { agent: true, meta: true });

/**
 * Checks the stamp of a handle and returns a copy.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_COMMAND`.
 */
export function checkedStamp(stamp: Stamp): Stamp {
  const { agent, meta } = originOf(AS_OPTIONS.checked(stamp));
  return { agent: agent ?? undefined, meta };
}

/**
 * Returns the stamp of the running code at each call; `undefined` if there is no context.
 *
 * @throws {ContextCacheError} `INVALID_OPTION` if the context has no `getStore`.
 */
export function stampOf(context: StampContext | undefined): (() => Stamp | undefined) | undefined {
  if (context === undefined) return undefined;
  if (typeof context?.getStore === 'function') return () => context.getStore();
  throw new ContextCacheError('INVALID_OPTION', 'context must be an AsyncLocalStorage of { agent, meta }.');
}

/**
 * Returns the options of a write with the stamp added. What the write says itself comes first: its agent, and each property of
 * its `meta`. Options or a `meta` that are not objects are left to the checks, which refuse them.
 */
export function stamped<Options extends OriginOptions | undefined>(
  options: Options,
  stamp: Stamp | undefined,
): Options {
  if (!isObject(stamp) || (options !== undefined && !isObject(options))) return options;
  const { agent = stamp.agent, meta } = options ?? {};
  return { ...options, agent, meta: merged(stamp.meta, meta) } as Options;
}

/** Returns a command that writes with the stamp added; see {@link stamped}. Any other command is unchanged. */
export function stampedCommand<Command extends ContextCommand>(command: Command, stamp: Stamp | undefined): Command {
  if (stamp === undefined) return command;
  if (isRetraction(command)) return { ...(command as Command), agent: command.agent ?? stamp.agent };
  return isWrite(command) ? stamped(command, stamp) : command;
}

function merged(stamp: Meta | undefined, own: Meta | undefined): Meta | undefined {
  if (stamp === undefined || own === undefined) return own ?? stamp;
  return isObject(own) && isObject(stamp) ? { ...stamp, ...own } : own;
}

function isObject<Value>(value: Value): value is Value & object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns whether a command is a retraction. It takes an agent, but no `meta`: entries get back their own. */
function isRetraction(command: ContextCommand): command is Extract<ContextCommand, { type: 'context.retract' }> {
  return isObject(command) && command.type === 'context.retract';
}

function isWrite(command: ContextCommand): command is Extract<ContextCommand, OriginOptions> {
  return isObject(command) && (isDataCommand(command) || command.type === 'context.transaction');
}
