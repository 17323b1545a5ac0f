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
  let text = lua.replace(/^\s*--.*\n/gm, "");
  for (;;) {
    const kept = text.replace(/^local function (\w+)\([\s\S]*?^end\n/gm, (definition, name: string) => {
      const mentions = text.match(new RegExp(`\\b${name}\\b`, "g"))?.length ?? 0;
      const ownMentions = definition.match(new RegExp(`\\b${name}\\b`, "g"))?.length ?? 0;
      return mentions > ownMentions ? definition : "";
    });
    if (kept === text) return text;
    text = kept;
  }
}
