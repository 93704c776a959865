import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Returns the files below a directory whose bytes hold a text. Files that are removed meanwhile do not count. */
export function filesWith(directory: string, text: string | Buffer): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => {
    const path = join(directory, name);
    try {
      return statSync(path).isFile() && readFileSync(path).includes(text);
    } catch (error) {
      if ((error as { readonly code?: unknown }).code === 'ENOENT') return false;
      throw error;
    }
  });
}
