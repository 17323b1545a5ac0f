/** How many letters a misspelt text may differ from the text that is meant. */
const MAX_DISTANCE = 2;

/** Returns the known texts that differ from a text by at most two letters, regardless of case, the nearest first. */
export function nearTexts(text: string, known: readonly string[], maxCount: number): string[] {
  const letters = [...text.toLowerCase()];
  const near: { other: string; distance: number }[] = [];
  for (const other of known) {
    // A text of very different length needs no comparison. A letter is one or two units long.
    if (other.length > 2 * (letters.length + MAX_DISTANCE) || 2 * (other.length + MAX_DISTANCE) < letters.length)
      continue;
    const distance = distanceOf(letters, [...other.toLowerCase()]);
    if (distance <= MAX_DISTANCE) near.push({ other, distance });
  }
  near.sort((one, other) => one.distance - other.distance);
  return near.slice(0, maxCount).map(({ other }) => other);
}

// How many letters have to be added, removed or replaced to make one text of the other (Levenshtein). Stops at a number above
// the largest that counts.
function distanceOf(one: readonly string[], other: readonly string[]): number {
  if (Math.abs(one.length - other.length) > MAX_DISTANCE) return MAX_DISTANCE + 1;
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (const [index, letter] of one.entries()) {
    const next = [index + 1];
    for (const [column, otherLetter] of other.entries()) {
      const replaced = (row[column] ?? 0) + (letter === otherLetter ? 0 : 1);
      next.push(Math.min(replaced, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1));
    }
    if (Math.min(...next) > MAX_DISTANCE) return MAX_DISTANCE + 1;
    row = next;
  }
  return row[other.length] ?? 0;
}
