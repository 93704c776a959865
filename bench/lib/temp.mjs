import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Creates a directory for all files of a run, removed when this process ends. */
export function runDirectory() {
  const root = mkdtempSync(join(tmpdir(), 'context-cache-bench-'));
  process.on('exit', () => rmSync(root, { recursive: true, force: true, maxRetries: 5 }));
  let count = 0;
  return {
    /** Creates an empty directory. */
    make(label) {
      count += 1;
      const path = join(root, `${label}-${count}`);
      mkdirSync(path);
      return path;
    },
    remove: (path) => rmSync(path, { recursive: true, force: true, maxRetries: 5 }),
  };
}
