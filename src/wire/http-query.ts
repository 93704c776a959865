import type { IncomingMessage } from 'node:http';
import { ContextCacheError } from '../core/errors.ts';
import { nearest } from '../core/nearest.ts';
import { RANGE_NAMES, type RangeOptions } from '../core/range.ts';
import { decodeUtf8, MAX_LINE_BYTES, parseJson } from './lines.ts';
import { type PositionOrDate, parsePosition } from './position.ts';

/** Parsers of queries and bodies. Bad input throws `INVALID_OPTION` or `INVALID_COMMAND`. */

/**
 * Refuses a parameter that the address does not take, because a mistyped one that is ignored changes the answer: a dump
 * with `?namesapce=trip` would be a dump of everything.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, with the nearest name.
 */
export function checkParameters(query: URLSearchParams, address: string, known: readonly string[]): void {
  checkNames(query.keys(), 'parameter', address, known);
}

/**
 * Refuses a field of a JSON body that the address does not take, for the reason of {@link checkParameters}.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, with the nearest name.
 */
export function checkFields(body: object, address: string, known: readonly string[]): void {
  checkNames(Object.keys(body), 'field', address, known);
}

function checkNames(names: Iterable<string>, what: string, address: string, known: readonly string[]): void {
  for (const name of names) {
    if (known.includes(name)) continue;
    const near = nearest(name, known);
    const takes = known.length === 0 ? 'It takes none.' : `It takes ${known.join(', ')}.`;
    const remedy = near === undefined ? takes : `Did you mean ${near}?`;
    const shown = JSON.stringify(name.slice(0, 60));
    throw new ContextCacheError('INVALID_OPTION', `${address} has no ${what} ${shown}. ${remedy}`);
  }
}

/** Parses a flag: `?name`, `?name=true`. */
export function flag(query: URLSearchParams, name: string): boolean {
  const text = query.get(name);
  if (text === null || text === 'false') return false;
  if (text === '' || text === 'true') return true;
  throw new ContextCacheError('INVALID_OPTION', `${name} must be true or false.`);
}

/** Parses a position, or another integer from 0. */
export function position(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const number = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(number)) return number;
  throw new ContextCacheError('INVALID_OPTION', `${name} must be a position: an integer from 0.`);
}

/** Names of the parameters that {@link range} parses. */
export const RANGE_PARAMETERS: readonly string[] = RANGE_NAMES;

/** Parses the options of a read in order. Their values are checked when they are used. */
export function range(query: URLSearchParams): RangeOptions {
  const text = (name: string) => query.get(name) ?? undefined;
  const number = text('limit');
  const limit = number === undefined || !/^\d+$/.test(number) ? number : Number(number);
  const texts = { prefix: text('prefix'), from: text('from'), to: text('to'), after: text('after') };
  return { ...texts, reverse: flag(query, 'reverse'), limit: limit as number | undefined };
}

/** Parses a position or an ISO time. */
export function positionOrTime(query: URLSearchParams, name: string): PositionOrDate | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const parsed = parsePosition(text);
  if (parsed !== undefined) return parsed;
  throw new ContextCacheError('INVALID_OPTION', `${name} must be a position, or a time such as 2026-01-31T12:00:00Z.`);
}

/** Reads the body as JSON. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  return parseJson(decodeUtf8(await readBody(request)));
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request.iterator({ destroyOnReturn: false })) {
    bytes += piece.length;
    if (bytes > MAX_LINE_BYTES) {
      throw new ContextCacheError(
        'INVALID_COMMAND',
        `The body is longer than ${MAX_LINE_BYTES} bytes. Split the command.`,
      );
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
