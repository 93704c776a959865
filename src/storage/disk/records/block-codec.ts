import { freezeDeep } from '../../../core/encoding/codec.ts';
import { createUpdate, OPERATIONS, type Operation, type Update } from '../../../core/update.ts';
import type { JsonValue } from '../../../core/value.ts';
import { corrupt, sealWritten, unseal } from '../leveldb/sealed.ts';

/** A block of the log: consecutive updates in one record, under the position of the first. */
export interface Block {
  readonly key: string;
  readonly bytes: Uint8Array;
}

const MAX_UPDATES = 4096;
const MAX_BYTES = 1024 * 1024;

const LOG_PREFIX = '!log!';
/** All keys of the log's blocks. */
export const LOG_RANGE = { gte: LOG_PREFIX, lt: '!log"' } as const;

/** Returns the key of the block that starts at the position. Keys sort as positions do. */
export function blockKey(position: number): string {
  return LOG_PREFIX + position.toString(16).padStart(16, '0');
}

/** Returns the first position of a block from its key. */
export function blockPosition(key: string): number {
  return Number.parseInt(key.slice(LOG_PREFIX.length), 16);
}

/** Code of a drop, after those of the six operations. */
export const DROP = 6;
/** Operations by code. The order is part of the format. The last one is a `clear_namespace` with `drop`. */
export const OPERATION_OF_CODE: readonly Operation[] = [...OPERATIONS, 'clear_namespace'];
const OPERATION_CODES: ReadonlyMap<Operation, number> = new Map(
  OPERATIONS.map((operation, code) => [operation, code] as const),
);

/** Number of fields of an update in a block. */
const FIELDS = 10;

/** Encodes consecutive updates in blocks of at most 4,096 updates and about 1 MiB. */
export function* encodeBlocks(updates: readonly Update[]): Generator<Block> {
  let start = 0;
  let bytes = 0;
  for (let i = 0; i < updates.length; i += 1) {
    bytes += (updates[i] as Update).bytes;
    if (bytes < MAX_BYTES && i + 1 - start < MAX_UPDATES && i + 1 < updates.length) continue;
    yield encodeBlock(updates.slice(start, i + 1));
    start = i + 1;
    bytes = 0;
  }
}

/** Encodes a block as `[first position, names, instant, fields of all updates]`. Repeated names are stored once. */
function encodeBlock(updates: readonly Update[]): Block {
  const { position, at: base } = updates[0] as Update;
  const names = new Names();
  // Collects all names first, because they precede the fields.
  const namespaces: number[] = [];
  const agents: number[] = [];
  for (const { namespace, agent } of updates) {
    namespaces.push(names.index(namespace));
    agents.push(agent === null ? -1 : names.index(agent));
  }
  const bytes = sealWritten((to) => {
    to.array(4);
    to.number(position);
    to.value(names.all);
    to.number(base);
    to.array(FIELDS * updates.length);
    for (let i = 0; i < updates.length; i += 1) {
      const update = updates[i] as Update;
      to.number(namespaces[i] as number);
      to.number(update.version);
      to.number(codeOf(update));
      to.value(update.key);
      to.value(update.value);
      to.number(update.at - base);
      to.number(agents[i] as number);
      to.value(update.expiresAt);
      to.number(update.replaced);
      to.number(update.bytes);
    }
  });
  return { key: blockKey(position), bytes };
}

/** Returns the code of the update's operation. */
export function codeOf({ operation, drop }: Update): number {
  return drop ? DROP : (OPERATION_CODES.get(operation) as number);
}

class Names {
  readonly all: string[] = [];
  readonly #indexes = new Map<string, number>();

  index(name: string): number {
    let index = this.#indexes.get(name);
    if (index === undefined) {
      index = this.all.push(name) - 1;
      this.#indexes.set(name, index);
    }
    return index;
  }
}

/**
 * Decodes the updates of a block.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` naming the position of the block.
 */
export function decodeBlock(key: string, bytes: Uint8Array): Update[] {
  const position = blockPosition(key);
  const what = () => `The log's block at position ${position}`;
  const [first, names, base, fields] = unseal(bytes, what) as [number, string[], number, unknown[]];
  const whole = first === position && Array.isArray(fields) && fields.length > 0 && fields.length % FIELDS === 0;
  if (!whole) throw corrupt(`${what()} does not have the structure of a block`);
  const updates: Update[] = [];
  for (let i = 0; i < fields.length; i += FIELDS)
    updates.push(decodeUpdate(fields, i, names, base, first + i / FIELDS));
  return updates;
}

function decodeUpdate(fields: unknown[], i: number, names: string[], base: number, position: number): Update {
  const code = fields[i + 2] as number;
  const agent = fields[i + 6] as number;
  const update = createUpdate({
    namespace: names[fields[i] as number] as string,
    version: fields[i + 1] as number,
    operation: OPERATION_OF_CODE[code] as Operation,
    key: fields[i + 3] as string | null,
    value: freezeDeep(fields[i + 4] as JsonValue),
    at: base + (fields[i + 5] as number),
    agent: agent === -1 ? null : (names[agent] as string),
    expiresAt: fields[i + 7] as number | null,
    replaced: fields[i + 8] as number,
    drop: code === DROP,
    bytes: fields[i + 9] as number,
  });
  update.position = position;
  return update;
}
