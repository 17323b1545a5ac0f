// Keeps folders and files small enough to find an idea in: see findCrowdedFolders and findLongFiles.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDERS = ["src", "test", "bench", "examples", "scripts"];
const MAX_FILES = 16;
/** @type {Readonly<Record<string, number>>} */
const MAX_LINES = { src: 400, test: 500 };
// .css is left out: a style sheet repeats short declarations.
const CODE = /\.(ts|tsx|mts|mjs|js|lua)$/;

/**
 * Finds folders that hold more than 16 files beside their sub-folders. Returns one line for each.
 *
 * @param {readonly string[]} paths files, from the root of the repository, with `/`
 * @returns {string[]}
 */
export function findCrowdedFolders(paths) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const path of paths) counts.set(dirname(path), (counts.get(dirname(path)) ?? 0) + 1);
  return [...counts]
    .filter(([, count]) => count > MAX_FILES)
    .map(([folder, count]) => `${folder}: holds ${count} files; move some to sub-folders, at most ${MAX_FILES} stay`);
}

/**
 * Finds code files in src with more than 400 lines and in test with more than 500. Returns one line for each.
 *
 * @param {Iterable<readonly [path: string, source: string]>} files
 * @returns {string[]}
 */
export function findLongFiles(files) {
  return [...files].flatMap(([path, source]) => {
    const most = MAX_LINES[path.split("/", 1)[0] ?? ""];
    if (most === undefined || !CODE.test(path)) return [];
    const lines = source.split("\n").length - (source.endsWith("\n") ? 1 : 0);
    return lines > most ? [`${path}: has ${lines} lines; split it, at most ${most} fit`] : [];
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.chdir(fileURLToPath(new URL("..", import.meta.url)));
  const paths = FOLDERS.flatMap((folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !/(^|\/)(node_modules|__pycache__)(\/|$)/.test(entry.parentPath))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  const files = paths.map((path) => /** @type {const} */ ([path, readFileSync(path, "utf8")]));
  const found = [...findCrowdedFolders(paths), ...findLongFiles(files)];
  for (const line of found) console.error(line);
  process.exitCode = found.length > 0 ? 1 : 0;
}
