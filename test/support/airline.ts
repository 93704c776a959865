import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The recorded agent runs: 9,000 commands, which make 8,941 updates. */
export const airlinePath = join(import.meta.dirname, '../data/airline-agents.ndjson');

/** How many updates the file makes. */
export const AIRLINE_UPDATES = 8_941;

/** The file's lines, without the line ends. */
export function airlineLines(): string[] {
  return readFileSync(airlinePath, 'utf8').split('\n').filter(Boolean);
}

export interface FoldedEntry {
  readonly value: unknown;
  readonly version: number;
}

export interface Folded {
  /** Every namespace that ever had an update, emptied ones included. */
  readonly entries: Map<string, Map<string, FoldedEntry>>;
  /** How many updates the commands make. */
  readonly updates: number;
}

interface LineOfSet {
  readonly type: string;
  readonly namespace?: string;
  readonly key: string;
  readonly value?: unknown;
}

/**
 * Computes what a cache must hold after these commands (`context.set`, `context.delete`, `context.clear`), without code of the
 * package: a set always makes an update, a delete or a clear only if it changes something; a namespace's version counts its
 * updates, and an entry has the version of its last one.
 */
export function foldCommands(lines: Iterable<string>): Folded {
  const entries = new Map<string, Map<string, FoldedEntry>>();
  const versions = new Map<string, number>();
  let updates = 0;
  for (const line of lines) {
    const command = JSON.parse(line) as LineOfSet;
    const name = command.namespace ?? 'default';
    const namespace = entries.get(name) ?? new Map<string, FoldedEntry>();
    const version = (versions.get(name) ?? 0) + 1;
    if (!change(namespace, command, version)) continue;
    entries.set(name, namespace);
    versions.set(name, version);
    updates += 1;
  }
  return { entries, updates };
}

/** Applies a command and returns whether it changed anything. */
function change(namespace: Map<string, FoldedEntry>, command: LineOfSet, version: number): boolean {
  if (command.type === 'context.set') {
    namespace.set(command.key, { value: command.value, version });
    return true;
  }
  if (command.type === 'context.delete') return namespace.delete(command.key);
  if (command.type === 'context.clear') {
    const changed = namespace.size > 0;
    namespace.clear();
    return changed;
  }
  throw new Error(`The fold does not know the command ${command.type}.`);
}
