import { execFile } from 'node:child_process';

/** Exit code of the script if LevelDB reports damage. */
const DAMAGED = 3;

/**
 * Walks through all records of a database, then looks each of them up. Ends with the first error: an error of the walk
 * also stands for keys that are too short, at which a lookup would end the process.
 */
const SCRIPT = `
const [module, location] = process.argv.slice(-2);
const { ClassicLevel } = await import(module);
const db = new ClassicLevel(location, { keyEncoding: 'buffer', valueEncoding: 'buffer', createIfMissing: false });
try {
  await db.open();
  const keys = [];
  for await (const [key] of db.iterator()) keys.push(key);
  while (keys.length > 0) await db.getMany(keys.splice(-1000));
  await db.close();
} catch (error) {
  console.log(error.cause?.message ?? error.message);
  process.exit(${DAMAGED});
}
`;

/**
 * Reads a database in a process of its own, because LevelDB ends the process in which it meets damage that it has an
 * assertion for. Resolves with the reason why the database must not be read in this process; `undefined` if it may be read.
 */
export function damageIn(location: string): Promise<string | undefined> {
  const args = ['--input-type=module', '-e', SCRIPT, import.meta.resolve('classic-level'), location];
  const options = { env: { ...process.env, NODE_OPTIONS: '' } };
  return new Promise((resolve) => {
    execFile(process.execPath, args, options, (error, output) => {
      if (error?.signal != null) resolve(`LevelDB ends the process that reads it (${error.signal}).`);
      else resolve(error?.code === DAMAGED ? `LevelDB cannot read it: ${output.trim()}.` : undefined);
    });
  });
}
