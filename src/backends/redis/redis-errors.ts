import { ContextCacheError, toError } from '../../core/errors.ts';

/** The remedy for an error reply, by its first word. */
const REMEDIES: Readonly<Record<string, string>> = {
  NOAUTH: 'Put user and password into its URL.',
  WRONGPASS: 'Correct user and password in its URL.',
  NOPERM: 'Give its user the right to run scripts and to use the keys under the prefix.',
  READONLY: 'It is a replica: name the URL of the server that takes writes.',
  OOM: 'Its memory is used up: raise maxmemory or free some.',
  MISCONF: 'It cannot save to its disk: repair that, or switch stop-writes-on-bgsave-error off.',
  WRONGTYPE: 'Another program uses the same keys: choose a prefix of its own for the cache.',
  BUSY: 'It is busy with a long script: wait, or end that script.',
};

/** Replies of a server that will be ready soon. */
const NOT_YET: Readonly<Record<string, string>> = {
  LOADING: 'It is loading its data: try again in a while.',
  MASTERDOWN: 'It has lost its primary server: try again in a while.',
};

/**
 * Returns an error of this package for an error of the client: `BACKEND_FAILED` for an error reply, `UNREACHABLE` for
 * anything else and for a server that is still loading.
 */
export function redisError(description: string, thrown: unknown): ContextCacheError {
  if (thrown instanceof ContextCacheError) return thrown;
  const cause = withoutArguments(toError(thrown));
  const word = /^(?:ERR Error running script.*?: )?-?([A-Z]+)\b/.exec(cause.message)?.[1] ?? '';
  if (cause.name !== 'ReplyError') {
    const message = `Redis at ${description} cannot be reached: ${cause.message}. Check that it runs and that its URL is right.`;
    return new ContextCacheError('UNREACHABLE', message, { cause });
  }
  const soon = NOT_YET[word];
  if (soon !== undefined)
    return new ContextCacheError('UNREACHABLE', `Redis at ${description} does not serve yet. ${soon}`, { cause });
  const remedy = REMEDIES[word] ?? 'See the cause.';
  return new ContextCacheError(
    'BACKEND_FAILED',
    `Redis at ${description} has refused (${word || 'error'}). ${remedy}`,
    { cause },
  );
}

/**
 * Returns the error without the arguments of its command. The client attaches them, and some replies repeat them: keys,
 * values and, for AUTH, the password. None of them may reach a log.
 */
function withoutArguments(error: Error): Error {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const message = (error.message || code || error.name).replace(/,? with args beginning with:.*$/s, '');
  const clean = new Error(message);
  clean.name = error.name;
  return code === '' ? clean : Object.assign(clean, { code });
}
