import { execFile } from 'node:child_process';

/** Exit code of the script if LevelDB reports damage. */
const DAMAGED = 3;

/**
 * Walks through all records of a database, then looks each of them up, a few at a time. Ends with the first error: an
 * error of the walk also stands for keys that are too short, at which a lookup would end the process.
 */
const SCRIPT = `
const [module, location] = process.argv.slice(-2);
const { ClassicLevel } = await import(module);
const db = new ClassicLevel(location, { keyEncoding: 'buffer', valueEncoding: 'buffer', createIfMissing: false });
try {
  await db.open();
  for await (const _ of db.iterator());
  const keys = [];
  for await (const key of db.keys()) {
    keys.push(key);
    if (keys.length === 1000) await db.getMany(keys.splice(0));
  }
  await db.getMany(keys);
  await db.close();
} catch (error) {
  console.log(error.cause?.message ?? error.message);
  process.exit(${DAMAGED});
}
`;

/** The process that a database is tried in could not be started, or has ended for a reason of its own. */
export class NotTried extends Error {}

/**
 * Reads a database in a process of its own, because LevelDB ends the process in which it meets damage that it has an
 * assertion for. Resolves with the reason why the database must not be read in this process; `undefined` if it may be
 * read. Rejects with {@link NotTried} if nothing is known, and with the signal's reason.
 */
export function damageIn(location: string, signal?: AbortSignal): Promise<string | undefined> {
  const args = ['--input-type=module', '-e', SCRIPT, import.meta.resolve('classic-level'), location];
  const options = { env: { ...process.env, NODE_OPTIONS: '' }, ...(signal && { signal }) };
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, options, (error, output) => {
      if (signal?.aborted === true) reject(signal.reason);
      else if (error === null) resolve(undefined);
      else if (error.signal != null) resolve(`LevelDB ends the process that reads it (${error.signal}).`);
      else if (error.code === DAMAGED) resolve(`LevelDB cannot read it: ${output.trim()}.`);
      else reject(new NotTried(`the process that it is tried in has failed (${error.code}).`, { cause: error }));
    });
  });
}
