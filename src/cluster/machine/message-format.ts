/**
 * Format of the messages, and of the rules by which nodes execute them. A node that meets another one stops, because skipping a message
 * or executing it otherwise would make it differ.
 */
export const MESSAGE_FORMAT = 5;

/** Maximum number of commands in a message. */
export const MAX_COMMANDS = 1024;

/** Bytes after which a message takes no further command. A single command may be larger. */
export const MAX_MESSAGE_BYTES = 256 * 1024;

/** The first number of each command. Numbers are never reused. */
export const KIND = {
  set: 0,
  delete: 1,
  touch: 2,
  increment: 3,
  append: 4,
  clear: 5,
  drop: 6,
  batch: 7,
  transaction: 8,
  noop: 9,
  hello: 10,
  lease: 11,
  checkpoint: 12,
  config: 13,
  protocol: 14,
  begin: 15,
  leave: 16,
} as const;

/** Bits of a step. */
export const FLAG = { isCheck: 1, ifDifferent: 2, skips: 4 } as const;

/** Operations of a step, by their number. */
export const OPERATIONS = ['set', 'delete', 'touch'] as const;
