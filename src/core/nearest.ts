/** Returns the known word nearest to a mistyped one; `undefined` if none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const letters = plain(word);
  const near = known
    .map((name) => ({ name, distance: distanceOf(letters, plain(name)) }))
    .sort((a, b) => a.distance - b.distance)[0];
  return near !== undefined && near.distance <= Math.max(1, Math.floor(letters.length / 3)) ? near.name : undefined;
}

/** Makes `data-dir`, `data_dir` and `dataDir` equal. */
function plain(word: string): string {
  return word.toLowerCase().replace(/[-_]/g, '');
}

function distanceOf(word: string, name: string): number {
  // A name of one or two letters starts many words.
  const begins = Math.min(word.length, name.length) > 2 && (name.startsWith(word) || word.startsWith(name));
  return begins ? Number(word !== name) : editDistance(word, name);
}

/** Returns how many letters must be inserted, removed, replaced or swapped to turn one word into the other. */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, index) => index)];
  const at = (i: number, j: number) => rows[i]?.[j] ?? 0;
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwapped ? at(i - 2, j - 2) + 1 : replaced;
      row.push(Math.min(replaced, swapped, at(i - 1, j) + 1, at(i, j - 1) + 1));
    }
  }
  return at(a.length, b.length);
}
