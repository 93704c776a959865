import { VarintReader } from './varints.ts';

/** Which files make up the database, by their numbers. */
export class LevelManifest {
  /** The oldest write-ahead log that is not in tables yet; 0 before there was one. */
  logNumber = 0;
  /** Sizes of the tables. */
  readonly tables = new Map<number, number>();

  /**
   * Takes a record of the manifest: what has changed, field by field, each behind its tag.
   *
   * @throws {RangeError} where it is none.
   */
  take(record: Buffer): void {
    const fields = new VarintReader(record);
    while (!fields.atEnd) this.#takeField(fields.integer(), fields);
  }

  #takeField(tag: number, fields: VarintReader): void {
    switch (tag) {
      // The comparator's name.
      case 1:
        fields.string();
        return;
      case 2:
        this.logNumber = fields.integer();
        return;
      // The next file's number, the last sequence number, the number of an earlier log.
      case 3:
      case 4:
      case 9:
        fields.integer();
        return;
      // Where the next compaction of a level begins.
      case 5:
        fields.integer();
        fields.string();
        return;
      // A table that is gone from a level. One that only changes its level comes again in the same record.
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
        throw new RangeError(`A field of the unknown kind ${tag}`);
    }
  }
}
