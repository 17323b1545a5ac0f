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
      if (path.includes(name))
        throw new Error(`Lua files include each other in a circle: ${[...path, name].join(" → ")}`);
      if (included.has(name)) return "";
      included.add(name);
      return resolve(readShared(name), [...path, name]);
    });
  return resolve(script, []);
}
