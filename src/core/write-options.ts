import type { RemoveOptions, WriteOptions } from './command.ts';
import { type NamesOf, optionNames } from './options.ts';
import type { OriginOptions } from './origin.ts';

const ORIGIN = { agent: true, meta: true, operationId: true } as const satisfies NamesOf<OriginOptions>;
const NAMES = { ttl: true, expiresAt: true, ifVersion: true, ...ORIGIN } as const satisfies NamesOf<WriteOptions>;
const { ifVersion: _, ...UNCONDITIONAL } = NAMES;

const elsewhere = () => [SET_OPTIONS];

export const SET_OPTIONS = optionNames<WriteOptions>('set', NAMES);
export const UPDATE_OPTIONS = optionNames<WriteOptions>('update', NAMES);
export const TOUCH_OPTIONS = optionNames<WriteOptions>('touch', NAMES);
export const SET_MANY_OPTIONS = optionNames<Omit<WriteOptions, 'ifVersion'>>('setMany', UNCONDITIONAL, { elsewhere });
export const GET_OR_SET_OPTIONS = optionNames<Omit<WriteOptions, 'ifVersion'>>('getOrSet', UNCONDITIONAL, {
  elsewhere,
});
export const DELETE_OPTIONS = optionNames<RemoveOptions>('delete', { ifVersion: true, ...ORIGIN }, { elsewhere });
export const BATCH_OPTIONS = optionNames<OriginOptions>('batch', ORIGIN, { elsewhere });
export const CLEAR_OPTIONS = optionNames<OriginOptions>('clearNamespace', ORIGIN, { elsewhere });
export const DROP_OPTIONS = optionNames<OriginOptions>('dropNamespace', ORIGIN, { elsewhere });
