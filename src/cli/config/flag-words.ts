import type { Command } from 'commander';
import { ContextCacheError } from '../../index.ts';

/** Names of library options whose flag is spelled otherwise. */
const OTHER_NAMES: Readonly<Record<string, string>> = { keepMs: 'keep', natsUrl: 'nats', redisUrl: 'redis' };

/** Words of the library and those of the command line. */
const PHRASES: readonly (readonly [RegExp, string])[] = [
  [/\bName (a (?:new or empty )?directory\b[^.]*)\./, 'Name $1 with --data-dir.'],
  [/^Port (\d+) /, '--port $1 '],
  [/\bhealth\(\) lists\b/, '"context-cache health" lists'],
];

/**
 * Puts an error of the library into the words of the command line: `keepUpdates must be …` becomes
 * `--keep-updates must be …`. Other errors, and words that are no options of the command, stay.
 */
export function inFlags(error: unknown, command: Command | undefined): unknown {
  if (!(error instanceof ContextCacheError) || command === undefined) return error;
  const flags = flagsOf(command);
  let { message } = error;
  for (const [pattern, words] of PHRASES) message = message.replace(pattern, words);
  // A plain word is an option only as the subject of the message: `Ttl must be …`, but not `Redis at … cannot`.
  message = message.replace(
    /^[A-Za-z]\w*(?= (?:must|is|takes) )/,
    (word) => flags.get(word[0]?.toLowerCase() + word.slice(1)) ?? word,
  );
  message = message.replace(/\b[a-z]+[A-Z]\w*\b/g, (word) => flags.get(word) ?? word);
  return message === error.message ? error : new ContextCacheError(error.code, message, { cause: error });
}

/** The flags of a command and of those above it, by option name. */
function flagsOf(command: Command): ReadonlyMap<string, string> {
  const flags = new Map<string, string>();
  for (let current: Command | null = command; current !== null; current = current.parent) {
    for (const option of current.options) flags.set(option.attributeName(), option.long ?? option.flags);
  }
  for (const [other, name] of Object.entries(OTHER_NAMES)) {
    const flag = flags.get(name);
    if (flag !== undefined) flags.set(other, flag);
  }
  return flags;
}
