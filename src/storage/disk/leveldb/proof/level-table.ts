import snappy from 'snappyjs';
import type { Damage } from './level-journal.ts';
import type { SlicedFile } from './sliced-file.ts';
import { VarintReader } from './varints.ts';

/**
 * Format of LevelDB's tables of sorted keys: blocks in sequence, each followed by its kind of compression (1 byte) and
 * a masked CRC-32C of both (4). First the blocks of data, then a filter, an index of the filter, an index of the data,
 * and a footer of fixed size that locates the two indexes.
 */
const TRAILER = 5;
const FOOTER = 48;
const MAGIC = Buffer.from('57fb808b247547db', 'hex');
const SNAPPY = 1;
const FILTER = 'filter.';
/** Bytes at the end of a table that are read together; the indexes lie there. */
const END_BYTES = 64 * 1024;
/** Greatest size of an index. A larger one has a damaged size. */
const MAX_INDEX_BYTES = 1024 * 1024 * 1024;

interface Handle {
  readonly offset: number;
  readonly size: number;
}

/**
 * Checks the footer, the indexes and the filter, and with `whole` every block of data. Resolves with the first damage
 * found.
 */
export async function findTableDamage(file: SlicedFile, whole: boolean): Promise<Damage | undefined> {
  try {
    const data = await proveIndexes(file);
    if (whole) for (const handle of data) await proveBlock(file, handle, 'a block');
    return undefined;
  } catch (error) {
    if (error instanceof TableDamage) return error;
    throw error;
  }
}

class TableDamage extends Error implements Damage {
  readonly offset: number;
  readonly problem: string;

  constructor(offset: number, problem: string) {
    super(problem);
    this.offset = offset;
    this.problem = problem;
  }
}

/** Reads the location of the blocks of data. */
async function proveIndexes(file: SlicedFile): Promise<Handle[]> {
  await file.read(Math.max(0, file.size - END_BYTES), Math.min(file.size, END_BYTES));
  const { filters, index } = await readFooter(file);
  const [filter] = (await readIndex(file, filters)).filter(({ key }) => key.toString('latin1').startsWith(FILTER));
  const data = await readIndex(file, index);
  if (filter !== undefined) await proveBlock(file, filter.handle, 'the filter');
  follow(
    [...data, ...(filter === undefined ? [] : [filter])].map(({ handle }) => handle),
    0,
    filters.offset,
    index,
  );
  return data.map(({ handle }) => handle);
}

async function readFooter(file: SlicedFile): Promise<{ filters: Handle; index: Handle }> {
  const at = file.size - FOOTER;
  if (at < 0) throw new TableDamage(0, 'the file is shorter than a footer');
  const footer = Buffer.from(await file.read(at, FOOTER));
  const handles = footer.subarray(0, FOOTER - MAGIC.length);
  if (!footer.subarray(handles.length).equals(MAGIC)) throw new TableDamage(at, 'the file does not end like a table');
  const fields = new VarintReader(handles);
  try {
    const [filters, index] = [readHandle(fields), readHandle(fields)];
    while (!fields.atEnd) if (fields.integer() !== 0) throw new RangeError('The padding is not zero');
    follow([filters, index], filters.offset, at, index);
    return { filters, index };
  } catch (error) {
    if (error instanceof RangeError || error instanceof TableDamage) {
      throw new TableDamage(at, 'the footer is damaged');
    }
    throw error;
  }
}

function readHandle(fields: VarintReader): Handle {
  return { offset: fields.integer(), size: fields.integer() };
}

/** Checks that no bytes lie between the blocks, which detects a wrong location. */
function follow(handles: readonly Handle[], from: number, to: number, index: Handle): void {
  let next = from;
  let together = true;
  for (const { offset, size } of handles) {
    together &&= offset === next;
    next = offset + size + TRAILER;
  }
  if (!together || next !== to) throw new TableDamage(index.offset, 'the index does not name all blocks');
}

async function proveBlock(file: SlicedFile, { offset, size }: Handle, what: string): Promise<number> {
  const checksum = await file.checksum(offset, size + 1);
  const trailer = Buffer.from(await file.read(offset + size, TRAILER));
  if (checksum === undefined || trailer.length < TRAILER || trailer.readUInt32LE(1) !== checksum) {
    throw new TableDamage(offset, `${what} does not match its checksum`);
  }
  return trailer.readUInt8(0);
}

/**
 * Reads the entries of an index. `key` is the part that is not shared with the key before, so the first one is whole.
 */
async function readIndex(file: SlicedFile, handle: Handle): Promise<{ key: Buffer; handle: Handle }[]> {
  const compression = await proveBlock(file, handle, 'an index');
  const stored = Buffer.from(await file.read(handle.offset, handle.size));
  try {
    return entriesOf(compression === SNAPPY ? Buffer.from(snappy.uncompress(stored, MAX_INDEX_BYTES)) : stored);
  } catch (cause) {
    throw new TableDamage(handle.offset, `an index cannot be read (${cause})`);
  }
}

/** The offsets of some entries follow the entries, then their number. */
function entriesOf(block: Buffer): { key: Buffer; handle: Handle }[] {
  const restarts = block.readUInt32LE(block.length - 4);
  const fields = new VarintReader(block.subarray(0, block.length - 4 * (1 + restarts)));
  const entries: { key: Buffer; handle: Handle }[] = [];
  while (!fields.atEnd) {
    // The number of bytes that the key shares with the one before.
    fields.integer();
    const added = fields.integer();
    const length = fields.integer();
    const key = fields.bytes(added);
    entries.push({ key, handle: readHandle(new VarintReader(fields.bytes(length))) });
  }
  return entries;
}
