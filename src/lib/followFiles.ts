import { statSync } from "node:fs";

/** How often files are checked, ms. */
const INTERVAL_MS = 1_000;

/**
 * Calls back when a file has changed: it was written or replaced, or a symbolic link in its path now leads to another
 * file, as with Kubernetes. It checks the files every second, because file system events do not cover links and some
 * mounts.
 *
 * @returns a function that stops the checks
 */
export function followFiles(paths: readonly string[], changed: () => void): () => void {
  let last = stateOf(paths);
  const timer = setInterval(() => {
    const state = stateOf(paths);
    if (state === last) return;
    last = state;
    changed();
  }, INTERVAL_MS);
  return () => clearInterval(timer);
}

function stateOf(paths: readonly string[]): string {
  return paths
    .map((path) => {
      const stat = statSync(path, { throwIfNoEntry: false });
      return stat === undefined ? "none" : `${stat.ino}:${stat.size}:${stat.mtimeMs}`;
    })
    .join(" ");
}
