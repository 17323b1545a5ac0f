import { readFileSync } from "node:fs";
import { SquelchError } from "../../domain/errors.js";
import { followFiles } from "../../lib/followFiles.js";
import type { Logger } from "../../lib/logger.js";

/** The tokens and callers that are no longer accepted. */
export interface Revocations {
  /** @param id the claim `jti` of the caller's token, if there is one */
  isRevoked(name: string, id: unknown): boolean;
  close(): void;
}

/** A list in which nothing is revoked. */
export const NO_REVOCATIONS: Revocations = { isRevoked: () => false, close: () => undefined };

/**
 * Reads the revoked tokens and callers from a file, one a line: `jti ID` revokes one token by its claim `jti`, `sub NAME` all
 * tokens and client certificates of a caller. Empty lines and lines that begin with `#` are left out. The file is read again
 * when it changes. If that fails, the failure is logged and the earlier list stays in use.
 *
 * @param changed called after the list was read again
 * @throws SquelchError `invalidArgument` if the first read fails; it names the line
 */
export function readRevocations(path: string, changed: () => void, logger: Logger): Revocations {
  let revoked = parse(path);
  const close = followFiles([path], () => {
    try {
      revoked = parse(path);
      logger.info({ path, entries: revoked.size }, "revoked tokens read again");
      changed();
    } catch (error) {
      logger.error({ err: error, path }, "revoked tokens could not be read again, the earlier list stays in use");
    }
  });
  return {
    isRevoked: (name, id) => revoked.has(`sub ${name}`) || (typeof id === "string" && revoked.has(`jti ${id}`)),
    close,
  };
}

function parse(path: string): ReadonlySet<string> {
  const lines = readText(path).split(/\r?\n/);
  for (const [index, line] of lines.entries()) {
    if (line === "" || line.startsWith("#") || /^(jti|sub) \S/.test(line)) continue;
    const problem = "must be jti and the id of a token, or sub and the name of a caller";
    throw new SquelchError("invalidArgument", `--revoked-tokens: ${path}: line ${index + 1} ${problem}`);
  }
  return new Set(lines);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new SquelchError("invalidArgument", `--revoked-tokens: ${path} cannot be read (${code})`);
  }
}
