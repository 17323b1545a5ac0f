import { statSync } from "node:fs";

/** How often files are looked at, ms. */
const INTERVAL_MS = 1_000;

/**
 * Calls back when one of the files has changed: written in place, replaced, or a link on the way to it turned, as
 * Kubernetes does. It looks at them every second, since file system events tell of links and of some mounts nothing.
 *
 * @returns ends it
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
