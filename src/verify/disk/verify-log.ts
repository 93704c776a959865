import { join, relative } from 'node:path';
import { floorAfter } from '../../core/remembered.ts';
import type { Update } from '../../core/update.ts';
import { baseName, readBase } from '../../storage/disk/base/base-file.ts';
import type { Files } from '../../storage/disk/files.ts';
import { decodeNote, NOTE } from '../../storage/disk/log/frame.ts';
import { isDamage, walkFrames } from '../../storage/disk/log/frame-walk.ts';
import {
  type Flaw,
  isMissing,
  released,
  type Walked,
  type WalkSettings,
  walkLog,
} from '../../storage/disk/log/log-walk.ts';
import type { LocatedUpdate } from '../../storage/disk/log/logged-update.ts';
import { type Note, Notes } from '../../storage/disk/log/notes.ts';
import { locatedUpdatesOf } from '../../storage/disk/log/update-record.ts';
import type { Findings, VerifyLocation } from '../verify-findings.ts';
import type { Fold } from './fold.ts';

/** The base and the log of a data directory, and how far they are read. */
export interface LogParts extends WalkSettings {
  readonly files: Files;
  readonly dataDir: string;
}

/**
 * Reads the base and the log frame by frame, and reports what is wrong with file and offset. With several parts it does so
 * for the first one; for the others it only checks what concerns their namespaces.
 */
export class LogCheck {
  /** Position of the last update. */
  head: number;
  /** `true` as long as everything was found and read. */
  isWhole = true;
  readonly #parts: LogParts;
  readonly #fold: Fold;
  readonly #findings: Findings;
  readonly #isFirst: boolean;
  #notes = new Notes('');
  /** The highest version that a dropped namespace has had; `undefined` before the first heading. */
  #floor: number | undefined;
  /** The last frame that was read, and the last note. */
  #frame: VerifyLocation = {};
  #lastNote: VerifyLocation = {};

  constructor(parts: LogParts, fold: Fold, findings: Findings, isFirst: boolean) {
    this.#parts = parts;
    this.#fold = fold;
    this.#findings = findings;
    this.#isFirst = isFirst;
    this.head = parts.base;
  }

  /** Reads the base into the fold. */
  async readBase(log: string | undefined): Promise<void> {
    const { files, path, base } = this.#parts;
    if (base === 0) return;
    const directory = join(path, 'base');
    const file = this.#relative(join(directory, baseName(base)));
    try {
      for (const item of walkFrames(files, join(directory, baseName(base)))) {
        await this.#step();
        if (!isDamage(item)) this.#count('frames');
        else this.#add('base', { file, offset: item.offset }, `is damaged from byte ${item.offset} to ${item.end}`);
      }
      // Without an id, the heading of the log is damaged; that is reported when the log is read.
      if (log === undefined || !this.isWhole) return this.#lose();
      for await (const namespace of readBase(files, directory, { log, position: base })) this.#fold.put(namespace);
    } catch (error) {
      if (this.#parts.through !== undefined && isMissing(error)) throw released(file, error);
      this.#lose();
      if (this.#isFirst) this.#findings.addError('base', { file }, error);
    }
  }

  /** Iterates over the updates of the log. They are not in the fold yet. */
  async *updates(): AsyncGenerator<readonly LocatedUpdate[]> {
    const { files, base } = this.#parts;
    const onTorn = (file: string, offset: number) => {
      if (!this.#isFirst) return;
      const name = this.#relative(file);
      const rest = 'a write that was cut off; the next start discards it';
      this.#findings.notes.push(`${name} ends at byte ${offset} with ${rest}.`);
    };
    for (const step of walkLog(files, { ...this.#parts, onTorn })) {
      if ('problem' in step) this.#takeFlaw(step);
      else {
        const all = this.#take(step);
        const updates = all.filter(({ position }) => position > base);
        for (const update of all) if (update.position <= base) this.#fall(update);
        this.head = updates.at(-1)?.position ?? this.head;
        if (updates.length > 0) yield updates;
      }
      await this.#step();
    }
    this.#checkNotes();
  }

  /** Applies an update to the fold. */
  apply(update: Update): void {
    const { namespace, version, position } = update;
    this.#count('updates');
    const floor = this.#floor ?? 0;
    this.#fall(update);
    if (!this.#fold.holds(namespace)) return;
    const due = this.#fold.versionAfter(namespace, floor) ?? version;
    if (version !== due) {
      const message = `The update has version ${version} in its namespace instead of ${due}.`;
      this.#findings.add('log', { ...this.#frame, position, namespace }, message);
      this.isWhole = false;
    }
    this.#fold.apply(update);
  }

  #take({ file, frame, shift, heading }: Walked): LocatedUpdate[] {
    const where = { file: this.#relative(file), offset: frame.block ?? frame.offset };
    this.#count('frames');
    this.#frame = where;
    try {
      if (heading !== undefined) {
        this.#notes = new Notes(heading.log);
        this.#checkFloor(heading.floor ?? 0, where);
      }
      if ((frame.flags & NOTE) === 0) {
        const moved = shift === 0 ? frame : { ...frame, offset: frame.offset + shift, end: frame.end + shift };
        return locatedUpdatesOf(moved, 0, Number.POSITIVE_INFINITY, true);
      }
      this.#notes.take(heading ?? (decodeNote(frame, () => 'A note of the log') as Note));
      this.#lastNote = where;
    } catch (error) {
      this.#lose();
      if (this.#isFirst) this.#findings.addError('log', { ...where, position: frame.position }, error);
    }
    return [];
  }

  #fall(update: Update): void {
    this.#floor = floorAfter(this.#floor ?? 0, update);
  }

  /** Compares the floor in a heading with what the updates before it lead to. */
  #checkFloor(stored: number, where: VerifyLocation): void {
    const due = this.#floor ?? stored;
    this.#floor = stored;
    if (stored === due || !this.isWhole || !this.#isFirst) return;
    const message = `The heading has ${stored} as the highest version of a dropped namespace; the updates before it lead to ${due}.`;
    this.#findings.add('log', where, message);
    this.isWhole = false;
  }

  #takeFlaw({ file, offset, position, problem }: Flaw): void {
    this.#add('log', { file: this.#relative(file), offset, position }, problem);
    this.#lose();
  }

  #add(kind: 'log' | 'base', where: VerifyLocation, problem: string): void {
    this.isWhole = false;
    if (this.#isFirst) this.#findings.add(kind, where, `${where.file} ${problem}.`);
  }

  #lose(): void {
    this.isWhole = false;
    this.#fold.lose();
  }

  /** Checks what the last notes say. */
  #checkNotes(): void {
    if (!this.isWhole || !this.#isFirst) return;
    for (const [name, position] of this.#notes.checkpoints) {
      if (Number.isInteger(position) && position <= this.head) continue;
      const message = `The log ends at ${this.head}, but follower ${name} has already received ${position}.`;
      this.#findings.add('log', this.#lastNote, message);
      this.isWhole = false;
    }
  }

  #count(what: 'frames' | 'updates'): void {
    if (this.#isFirst) this.#findings.counts[what] += 1;
  }

  #relative(file: string): string {
    return relative(this.#parts.dataDir, file);
  }

  async #step(): Promise<void> {
    await this.#findings.step('log', this.head);
  }
}
