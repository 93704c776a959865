import { VarintReader } from './varints.ts';

/** The files that make up the database, by their numbers. */
export class LevelManifest {
  /** The oldest write-ahead log whose content is not in tables yet; 0 before there was one. */
  logNumber = 0;
  /** Sizes of the tables in bytes. */
  readonly tables = new Map<number, number>();

  /**
   * Applies a record of the manifest: a list of changes, each after its tag.
   *
   * @throws {RangeError} if the record is malformed.
   */
  take(record: Buffer): void {
    const fields = new VarintReader(record);
    while (!fields.atEnd) this.#takeField(fields.integer(), fields);
  }

  #takeField(tag: number, fields: VarintReader): void {
    switch (tag) {
      // The name of the comparator.
      case 1:
        fields.string();
        return;
      case 2:
        this.logNumber = fields.integer();
        return;
      // The number of the next file, the last sequence number, the number of an earlier log.
      case 3:
      case 4:
      case 9:
        fields.integer();
        return;
      // The start of the next compaction of a level.
      case 5:
        fields.integer();
        fields.string();
        return;
      // A table that leaves a level. One that only changes its level is added again by the same record.
      case 6:
        fields.integer();
        this.tables.delete(fields.integer());
        return;
      // A new table: level, number, size, first and last key.
      case 7:
        fields.integer();
        this.tables.set(fields.integer(), fields.integer());
        fields.string();
        fields.string();
        return;
      default:
        throw new RangeError(`A field of unknown kind ${tag}`);
    }
  }
}
