import type { RemoveOptions, WriteOptions } from './command.ts';
import { type NamesOf, optionNames } from './options.ts';

const NAMES = { ttl: true, expiresAt: true, ifVersion: true, agent: true } as const satisfies NamesOf<WriteOptions>;
const { ifVersion: _, ...UNCONDITIONAL } = NAMES;

/** Options of a method whose only option is who writes. */
export interface AgentOption {
  /** Name of the agent that writes. */
  readonly agent?: string | undefined;
}

const elsewhere = () => [SET_OPTIONS];

export const SET_OPTIONS = optionNames<WriteOptions>('set', NAMES);
export const UPDATE_OPTIONS = optionNames<WriteOptions>('update', NAMES);
export const TOUCH_OPTIONS = optionNames<WriteOptions>('touch', NAMES);
export const SET_MANY_OPTIONS = optionNames<Omit<WriteOptions, 'ifVersion'>>('setMany', UNCONDITIONAL, { elsewhere });
export const GET_OR_SET_OPTIONS = optionNames<Omit<WriteOptions, 'ifVersion'>>('getOrSet', UNCONDITIONAL, {
  elsewhere,
});
export const DELETE_OPTIONS = optionNames<RemoveOptions>('delete', { ifVersion: true, agent: true }, { elsewhere });
export const BATCH_OPTIONS = optionNames<AgentOption>('batch', { agent: true }, { elsewhere });
export const CLEAR_OPTIONS = optionNames<AgentOption>('clearNamespace', { agent: true }, { elsewhere });
export const DROP_OPTIONS = optionNames<AgentOption>('dropNamespace', { agent: true }, { elsewhere });
