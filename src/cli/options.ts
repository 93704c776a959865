import { InvalidArgumentError, Option } from 'commander';
import ms, { type StringValue } from 'ms';
import { type PastMoment, parseMoment } from '../adapters/moment.ts';
import { UsageError } from './failure.ts';

/** Options that several commands share, and what their texts mean. */

/** For `--option VALUE` that may be given several times. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** An integer from 0. */
export function integer(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(number)) throw new InvalidArgumentError('Give an integer from 0.');
  return number;
}

/** A position, or a time. */
export function moment(text: string): PastMoment {
  const parsed = parseMoment(text);
  if (parsed === undefined) throw new InvalidArgumentError('Give a position, or a time such as 2026-01-31T12:00:00Z.');
  return parsed;
}

/** A port; 0 is any free one. */
export function port(text: string): number {
  const number = integer(text);
  if (number > 65_535) throw new InvalidArgumentError('Give a port from 0 to 65535.');
  return number;
}

/** A duration in milliseconds, from `60s`, `5m` or a number of milliseconds. */
export function duration(text: string): number {
  const parsed = /^\d+$/.test(text) ? Number(text) : text.length <= 100 ? ms(text as StringValue) : undefined;
  if (parsed === undefined || !(parsed >= 0)) {
    throw new InvalidArgumentError("Give a duration such as '60s' or '5m', or milliseconds.");
  }
  return parsed;
}

/** A duration as the cache takes it: milliseconds where it is only digits. */
export function durationOrMs(text: string): number | string {
  return /^\d+$/.test(text) ? Number(text) : text;
}

/** `--namespace NS`. */
export function namespaceOption(): Option {
  return new Option('-n, --namespace <name>', 'the namespace').default('default');
}

/** `--nats [URL]`: without a URL the environment's, or the local one. */
export function natsOption(what: string): Option {
  return new Option('--nats [url]', `${what} (without a URL: NATS_URL, or nats://127.0.0.1:4222)`);
}

/** `--redis [URL]`: without a URL the environment's, or the local one. */
export function redisOption(what: string): Option {
  return new Option('--redis [url]', `${what} (without a URL: REDIS_URL, or redis://127.0.0.1:6379)`);
}

/** The NATS that is asked for; `undefined` where none is. */
export function natsUrl(given: string | true | undefined, topics: readonly string[] | undefined): string | undefined {
  const asked = given === undefined && topics !== undefined ? true : given;
  if (asked === undefined) return undefined;
  const fromEnvironment = process.env.NATS_URL;
  if (asked === true) {
    if (given === undefined && !fromEnvironment) {
      throw new UsageError('--topic needs to know where to publish: add --nats nats://host:4222, or set NATS_URL.');
    }
    return fromEnvironment || 'nats://127.0.0.1:4222';
  }
  if (/^(nats|tls):\/\//.test(asked) || /:\d+(,|$)/.test(asked)) return asked;
  throw new UsageError('--nats takes a URL such as nats://host:4222. Put a file before it, or write --nats=URL.');
}

/** The Redis that is asked for; `undefined` where none is. */
export function redisUrl(given: string | true | undefined): string | undefined {
  if (given === undefined) return undefined;
  if (given === true) return process.env.REDIS_URL || 'redis://127.0.0.1:6379';
  if (/^rediss?:\/\//.test(given)) return given;
  throw new UsageError('--redis takes a URL such as redis://host:6379. Put a file before it, or write --redis=URL.');
}
