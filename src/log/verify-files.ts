import { checkDatabaseFiles } from '../storage/disk/leveldb/proof/level-files.ts';
import type { Findings } from '../verify/verify-findings.ts';

/** Proves the checksums of the database's own files; `live`: while somebody writes there. */
export async function verifyFiles(location: string, findings: Findings, live: boolean): Promise<void> {
  const options = { live, ...(findings.signal === undefined ? {} : { signal: findings.signal }) };
  for await (const { file, offset, problem } of checkDatabaseFiles(location, options)) {
    findings.add('file', { file: `db/${file}`, offset }, `${file} ${problem} (byte ${offset}).`);
    await findings.step('files', findings.problems.length);
  }
}
