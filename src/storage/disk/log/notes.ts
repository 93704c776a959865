import { OperationWindow } from '../../../core/operations.ts';
import { floorAfter, type Remembered, rememberedOf } from '../../../core/remembered.ts';
import type { Update } from '../../../core/update.ts';
import type { JsonValue } from '../../../core/value.ts';
import type { ConfigStore } from '../../config-store.ts';

/** A note in the log, or the changes that one makes. Settings and checkpoints that are `null` are removed. */
export interface Note {
  /** The log's first position is the one after this. */
  readonly begin?: number;
  readonly checkpoints?: Readonly<Record<string, number | null>>;
  readonly settings?: Readonly<Record<string, JsonValue | null>>;
}

/** The note at the start of each file: everything that the notes before it said, and what is remembered at the start of the file. */
export interface Heading extends Required<Note>, Remembered {
  readonly product: string;
  /** Id of the log. */
  readonly log: string;
  /** Bytes that the file lacks because updates at its start were released; see `UpdateLocation`. */
  readonly shift: number;
}

export const PRODUCT = 'agent-context-cache';

/**
 * The contents of a log beside the updates: its id and start, the followers' checkpoints, the settings, the remembered operations and the
 * floor of versions. It lies in memory, and in notes among the updates; each file of the log starts with all of it. Between two headings
 * operations and floor follow from the updates.
 *
 * A stored checkpoint is never beyond the committed position. Hence one beyond the end of the log shows that the log
 * has lost updates.
 */
export class Notes {
  readonly id: string;
  #begin = 0;
  readonly checkpoints = new Map<string, number>();
  readonly settings = new Map<string, JsonValue>();
  readonly operations = new OperationWindow();
  /** The highest version that a dropped namespace has had, by the committed updates, which a heading has; 0: none was dropped. */
  #floor = 0;
  #appendedFloor = 0;
  #changedBegin = false;
  readonly #changedCheckpoints = new Set<string>();
  readonly #changedSettings = new Set<string>();

  constructor(id: string) {
    this.id = id;
  }

  /** The log's first position is the one after this. */
  get begin(): number {
    return this.#begin;
  }

  /** Takes in a note that was read. */
  take({ begin, checkpoints = {}, settings = {} }: Note): void {
    if (begin !== undefined) this.#begin = begin;
    for (const [name, position] of Object.entries(checkpoints)) put(this.checkpoints, name, position);
    for (const [name, value] of Object.entries(settings)) put(this.settings, name, value);
  }

  /** The floor of what was appended, committed or not. */
  get appendedFloor(): number {
    return this.#appendedFloor;
  }

  /** Takes in an update that is appended. */
  append(update: Update): void {
    if (update.operationId !== undefined) this.operations.add(update);
    if (update.drop) this.#appendedFloor = floorAfter(this.#appendedFloor, update);
  }

  /** Takes in an update that is committed. */
  commit(update: Update): void {
    if (update.drop) this.#floor = floorAfter(this.#floor, update);
  }

  /** Takes in what was remembered at the start, before anything is appended. */
  restore({ operations, floor = 0 }: Remembered): void {
    this.operations.restore(operations);
    this.#floor = floor;
    this.#appendedFloor = floor;
  }

  /** Returns what is remembered up to a position, and the floor of what was appended. */
  remembered(until: number): Remembered {
    return rememberedOf(this.operations, this.#appendedFloor, until);
  }

  raiseBegin(position: number): void {
    if (position <= this.#begin) return;
    this.#begin = position;
    this.#changedBegin = true;
  }

  setCheckpoint(name: string, position: number | undefined): void {
    put(this.checkpoints, name, position ?? null);
    this.#changedCheckpoints.add(name);
  }

  /** Puts a checkpoint into the next note although it has not changed. */
  touchCheckpoint(name: string): void {
    this.#changedCheckpoints.add(name);
  }

  setSetting(name: string, value: JsonValue | undefined): void {
    put(this.settings, name, value ?? null);
    this.#changedSettings.add(name);
  }

  setSettings(settings: Readonly<Record<string, JsonValue | null>>): void {
    for (const [name, value] of Object.entries(settings)) this.setSetting(name, value ?? undefined);
  }

  /** `true` if there are changes that no note holds. */
  get changed(): boolean {
    return this.#changedBegin || this.#changedCheckpoints.size > 0 || this.#changedSettings.size > 0;
  }

  /** Returns a note of the changes since the last one. `committed`: no checkpoint is stored beyond it. */
  changes(committed: number): Note {
    const position = (name: string) => this.#stored(name, committed);
    const note: Note = {
      ...(this.#changedBegin ? { begin: this.#begin } : {}),
      ...(this.#changedCheckpoints.size > 0 ? { checkpoints: record(this.#changedCheckpoints, position) } : {}),
      ...(this.#changedSettings.size > 0
        ? { settings: record(this.#changedSettings, (name) => this.settings.get(name) ?? null) }
        : {}),
    };
    this.#written();
    return note;
  }

  /** Returns the note that a new file starts with. Nothing counts as changed then. */
  heading(committed: number, shift = 0): Heading {
    const position = (name: string) => this.#stored(name, committed);
    this.#written();
    return {
      ...{ product: PRODUCT, log: this.id, begin: this.#begin, shift },
      ...rememberedOf(this.operations, this.#floor, committed),
      checkpoints: record(this.checkpoints.keys(), position) as Record<string, number>,
      settings: Object.fromEntries(this.settings),
    };
  }

  #stored(name: string, committed: number): number | null {
    const position = this.checkpoints.get(name);
    return position === undefined ? null : Math.min(position, committed);
  }

  #written(): void {
    this.#changedBegin = false;
    this.#changedCheckpoints.clear();
    this.#changedSettings.clear();
  }
}

function put<Value>(map: Map<string, Value>, name: string, value: Value | null): void {
  if (value === null) map.delete(name);
  else map.set(name, value);
}

function record<Value>(names: Iterable<string>, valueFor: (name: string) => Value): Record<string, Value> {
  return Object.fromEntries(Array.from(names, (name) => [name, valueFor(name)]));
}

/** Settings in the log's notes. A change resolves once it is on disk. */
export class LogSettings implements ConfigStore {
  readonly #notes: Notes;
  readonly #write: (change: () => void) => Promise<void>;

  /** `write` makes a change of the notes and writes it. */
  constructor(notes: Notes, write: (change: () => void) => Promise<void>) {
    this.#notes = notes;
    this.#write = write;
  }

  get(name: string): JsonValue | undefined {
    return this.#notes.settings.get(name);
  }

  async set(name: string, value: JsonValue): Promise<void> {
    await this.#write(() => this.#notes.setSetting(name, value));
  }

  async delete(name: string): Promise<void> {
    await this.#write(() => this.#notes.setSetting(name, undefined));
  }

  list(): readonly string[] {
    return [...this.#notes.settings.keys()].sort();
  }
}
