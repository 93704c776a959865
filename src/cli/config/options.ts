import { InvalidArgumentError } from 'commander';
import ms, { type StringValue } from 'ms';
import { type PositionOrDate, parsePosition } from '../../wire/position.ts';
import { UsageError } from '../terminal/failure.ts';
import { CliOption, collect } from './cli-option.ts';

/** Options that several commands share, and the parsers of their values. */

/** Parses an integer from 0. */
export function integer(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(number)) throw new InvalidArgumentError('Give an integer from 0.');
  return number;
}

/** Parses a position or a time. */
export function positionOrTime(text: string): PositionOrDate {
  const parsed = parsePosition(text);
  if (parsed === undefined) throw new InvalidArgumentError('Give a position, or a time such as 2026-01-31T12:00:00Z.');
  return parsed;
}

/** Parses a port; 0 is any free one. */
export function port(text: string): number {
  const number = integer(text);
  if (number > 65_535) throw new InvalidArgumentError('Give a port from 0 to 65535.');
  return number;
}

/** Parses a duration, `60s`, `5m` or a number of milliseconds, into milliseconds. */
export function duration(text: string): number {
  const parsed = /^\d+$/.test(text) ? Number(text) : text.length <= 100 ? ms(text as StringValue) : undefined;
  if (parsed === undefined || !(parsed >= 0)) {
    throw new InvalidArgumentError("Give a duration such as '60s' or '5m', or milliseconds.");
  }
  return parsed;
}

/** Returns a duration as the cache takes it: digits alone are a number of milliseconds. */
export function durationOrMs(text: string): number | string {
  return /^\d+$/.test(text) ? Number(text) : text;
}

/** `--namespace NS`: the namespace of the key. */
export function namespaceOption(): CliOption {
  return new CliOption('-n, --namespace <name>', 'the namespace').default('default') as CliOption;
}

/** `--namespace NS`: prints this one only. */
export function onlyNamespaceOption(): CliOption {
  return narrowing('-n, --namespace <name>', 'only this namespace');
}

/** `--namespace NS` that may be given several times. */
export function onlyNamespacesOption(): CliOption {
  const option = narrowing('-n, --namespace <name>', 'only this namespace (may be repeated)');
  option.argParser(collect);
  return option;
}

function narrowing(flags: string, description: string): CliOption {
  const option = new CliOption(flags, description);
  option.inFile = 'section';
  return option;
}

/** The options of a read in order, of `what`: `keys` or `namespaces`. */
export function rangeOptions(what: string): CliOption[] {
  const limit = new CliOption('--limit <count>', `print at most so many ${what}`);
  limit.argParser(integer);
  const options = [
    new CliOption('--prefix <text>', `only ${what} that start with this text`),
    new CliOption('--from <name>', `only this one and those after it in the order`),
    new CliOption('--to <name>', `only this one and those before it in the order`),
    new CliOption('--after <name>', `only those that follow this one: the last of the previous page`),
    new CliOption('--reverse', 'print the last one first'),
    limit,
  ];
  for (const option of options) option.inFile = 'section';
  return options;
}

/** `--yes`: skips the question. */
export function yesOption(): CliOption {
  const option = new CliOption('-y, --yes', 'do not ask');
  option.inFile = 'never';
  return option;
}

/** `--agent NAME`. */
export function agentOption(what: string): CliOption {
  return new CliOption('--agent <name>', what);
}

/** `--agent NAME`, `--meta JSON` and `--operation-id ID`: who writes and why. */
export function originOptions(what: string): CliOption[] {
  const meta = new CliOption('--meta <json>', 'attach this JSON object: a task, a reason, a trace');
  meta.argParser(json);
  return [agentOption(what), meta, operationIdOption()];
}

/** `--operation-id ID`: a repeated operation, which is made once. Each needs its own, so a file cannot set it. */
export function operationIdOption(): CliOption {
  const option = new CliOption('--operation-id <id>', 'identify the operation by this text');
  option.inFile = 'never';
  return option;
}

/** `--subject NAME`: whom the value is about. */
export function subjectOption(): CliOption {
  const option = new CliOption(
    '--subject <name>',
    'encrypt the value with the key of this subject, until it is forgotten',
  );
  option.inFile = 'never';
  return option;
}

/** Parses JSON; whether it is what the command takes is checked with the command. */
function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidArgumentError(`It is not JSON. Quote it as '{"task":"t-7"}'.`);
  }
}

/** `--topic SUBJECT`. */
export function topicOption(): CliOption {
  const what = 'broadcast to this NATS subject (may be repeated; replaces the present topics)';
  return new CliOption('--topic <subject>', what).argParser(collect) as CliOption;
}

/** `--subject-id ID`. */
export function subjectIdOption(): CliOption {
  return new CliOption('--subject-id <id>', 'sender named in broadcast messages').env('SUBJECT_ID') as CliOption;
}

/** `--backup-dir DIR`. */
export function backupDirOption(what: string): CliOption {
  return new CliOption('--backup-dir <dir>', what);
}

/** `--nats [URL]`: without a URL that of the environment, otherwise the local one. */
export function natsOption(what: string): CliOption {
  const local = 'nats://127.0.0.1:4222';
  const option = new CliOption('--nats [url]', `${what} (without a URL: NATS_URL, or ${local})`);
  const isUrl = (text: string) => /^(nats|tls):\/\//.test(text) || /:\d+(,|$)/.test(text);
  option.server = { env: 'NATS_URL', local, isUrl };
  return option;
}

/** `--redis [URL]`: without a URL that of the environment, otherwise the local one. */
export function redisOption(what: string): CliOption {
  const local = 'redis://127.0.0.1:6379';
  const option = new CliOption('--redis [url]', `${what} (without a URL: REDIS_URL, or ${local})`);
  option.server = { env: 'REDIS_URL', local, isUrl: (text) => /^rediss?:\/\//.test(text) };
  return option;
}

/** `--redis-prefix TEXT`: separates caches in one database. */
export function redisPrefixOption(): CliOption {
  return new CliOption('--redis-prefix <prefix>', 'prefix of all keys in Redis, such as team-a: (one per cache)');
}

/**
 * Returns the URL of the Redis server with the prefix, or `undefined` without a Redis.
 *
 * @throws {UsageError} if there is a prefix and no Redis, or the URL names another prefix.
 */
export function redisFor(flags: { readonly redis?: string; readonly redisPrefix?: string }): string | undefined {
  const { redis, redisPrefix } = flags;
  if (redisPrefix === undefined) return redis;
  if (redis === undefined) throw new UsageError('--redis-prefix needs a Redis server: add --redis.');
  if (redis.includes('?')) throw new UsageError('The Redis URL already has a prefix. Omit --redis-prefix.');
  return `${redis}?prefix=${encodeURIComponent(redisPrefix)}`;
}

/** Returns the NATS server to broadcast to, or `undefined` without one. Refuses topics without a server. */
export function natsFor(url: string | undefined, topics: readonly string[] | undefined): string | undefined {
  if (url !== undefined || topics === undefined) return url;
  const fromEnvironment = process.env.NATS_URL;
  if (fromEnvironment) return fromEnvironment;
  throw new UsageError('--topic needs a NATS server: add --nats nats://host:4222, or set NATS_URL.');
}
