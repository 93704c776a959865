import { systemClock } from '../../index.ts';
import type { LogFields, Logger } from '../../monitoring.ts';

/** The levels of log lines, the least important first. */
export const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
/** Level of a log line. */
export type Level = (typeof LEVELS)[number];

/** Returns a logger that writes lines from a level on as JSON, with `time` and `level` first. */
export function jsonLogger(from: Level, write: (line: string) => void, now = systemClock.now): Logger {
  const least = LEVELS.indexOf(from);
  const lines = (level: Level) => (fields: LogFields, message: string) => {
    if (LEVELS.indexOf(level) < least) return;
    write(JSON.stringify({ time: new Date(now()).toISOString(), level, ...fields, message }));
  };
  return { debug: lines('debug'), info: lines('info'), warn: lines('warn'), error: lines('error') };
}
