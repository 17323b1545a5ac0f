/** Returns the text of the shared file with that name, without folder and extension. Throws if there is none. */
export type ReadShared = (name: string) => string;

/**
 * Replaces each line `-- @include name` of a Lua script by the shared file with that name. Includes in shared files are
 * replaced, too. Each file is included once, where it is named first.
 *
 * @throws Error if a file includes itself, directly or through others
 */
export function resolveIncludes(script: string, readShared: ReadShared): string {
  const included = new Set<string>();
  const resolve = (text: string, path: readonly string[]): string =>
    text.replace(/^-- @include (\S+)\n?/gm, (_, name: string) => {
      if (path.includes(name)) throw new Error(`Lua files include each other: ${[...path, name].join(" → ")}`);
      if (included.has(name)) return "";
      included.add(name);
      return resolve(readShared(name), [...path, name]);
    });
  return resolve(script, []);
}

/**
 * Removes comment lines, and each `local function` at the beginning of a line that the rest of the script does not use. Redis
 * creates all functions of a script at each run, which took a third of the time of a short script.
 */
export function dropUnused(lua: string): string {
  const text = lua.replace(/^\s*--.*\n/gm, "");
  const definitions = [...text.matchAll(/^local function (\w+)\([\s\S]*?^end\n/gm)].map(([whole, name = ""]) => ({
    whole,
    name,
    words: countWords(whole),
  }));
  // The words of the text without the functions that have been found unused.
  const left = countWords(text);
  const unused = new Set<string>();
  for (;;) {
    const found = definitions.filter(
      ({ whole, name, words }) => !unused.has(whole) && left.get(name) === words.get(name),
    );
    if (found.length === 0) break;
    for (const { whole, words } of found) {
      unused.add(whole);
      for (const [word, count] of words) left.set(word, (left.get(word) ?? 0) - count);
    }
  }
  return text.replace(/^local function \w+\([\s\S]*?^end\n/gm, (whole) => (unused.has(whole) ? "" : whole));
}

function countWords(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of text.match(/[A-Za-z_]\w*/g) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}
