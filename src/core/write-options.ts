import type {
  AppendOptions,
  ClearOptions,
  ExpiryOptions,
  IncrementOptions,
  MakeOptions,
  ManyOptions,
  RemoveOptions,
  TouchOptions,
  WriteOptions,
} from './command.ts';
import { type NamesOf, optionNames } from './options.ts';
import type { OriginOptions } from './origin.ts';
import type { SubjectOptions } from './sealed.ts';

const ORIGIN = { agent: true, meta: true, operationId: true, basis: true } as const satisfies NamesOf<OriginOptions>;
const EXPIRY = { ttl: true, expiresAt: true, ...ORIGIN } as const satisfies NamesOf<ExpiryOptions & OriginOptions>;
const SUBJECT = { subject: true, subjects: true } as const satisfies NamesOf<SubjectOptions>;
const MAKE = { ...EXPIRY, ...SUBJECT } as const satisfies NamesOf<MakeOptions>;
const REMOVE = { ifVersion: true, ifPresent: true, ...ORIGIN } as const satisfies NamesOf<RemoveOptions>;
const NAMES = { ...MAKE, ...REMOVE, ifAbsent: true, ifDifferent: true } as const satisfies NamesOf<WriteOptions>;
const { ifVersion: _, ...EACH } = NAMES;

const elsewhere = () => [SET_OPTIONS];

export const SET_OPTIONS = optionNames<WriteOptions>('set', NAMES);
export const UPDATE_OPTIONS = optionNames<WriteOptions>('update', NAMES);
export const TOUCH_OPTIONS = optionNames<TouchOptions>('touch', { ...EXPIRY, ...REMOVE }, { elsewhere });
export const SET_MANY_OPTIONS = optionNames<ManyOptions>('setMany', { ...EACH, onConflict: true }, { elsewhere });
export const GET_OR_SET_OPTIONS = optionNames<MakeOptions>('getOrSet', MAKE, { elsewhere });
export const INCREMENT_OPTIONS = optionNames<IncrementOptions>('increment', { ...EXPIRY, ...REMOVE }, { elsewhere });
export const APPEND_OPTIONS = optionNames<AppendOptions>('append', { ...MAKE, prefix: true }, { elsewhere });
export const DELETE_OPTIONS = optionNames<RemoveOptions>('delete', REMOVE, { elsewhere });
export const BATCH_OPTIONS = optionNames<OriginOptions>('batch', ORIGIN, { elsewhere });
export const CLEAR_OPTIONS = optionNames<ClearOptions>('clearNamespace', { ...ORIGIN, prefix: true }, { elsewhere });
export const DROP_OPTIONS = optionNames<OriginOptions>('dropNamespace', ORIGIN, { elsewhere });
export const TRANSACTION_OPTIONS = optionNames<OriginOptions>('transaction', ORIGIN, { elsewhere });
export const TRANSACT_OPTIONS = optionNames<Omit<OriginOptions, 'operationId'>>(
  'transact',
  { agent: true, meta: true, basis: true },
  {
    elsewhere,
  },
);
