/** The known word that a mistyped one is nearest to; `undefined` where none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const letters = plain(word);
  const near = known
    .map((name) => ({ name, distance: distanceOf(letters, plain(name)) }))
    .sort((a, b) => a.distance - b.distance)[0];
  return near !== undefined && near.distance <= Math.max(1, Math.floor(letters.length / 3)) ? near.name : undefined;
}

/** `data-dir`, `data_dir` and `dataDir` are one. */
function plain(word: string): string {
  return word.toLowerCase().replace(/[-_]/g, '');
}

function distanceOf(word: string, name: string): number {
  const begins = word.length > 2 && (name.startsWith(word) || word.startsWith(name));
  return begins ? Number(word !== name) : editDistance(word, name);
}

/** How many letters must be put in, taken out or replaced to make one word the other (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
