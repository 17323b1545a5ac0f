import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { isToken } from "../lib/callToken.js";
import type { CommandContext } from "./context.js";
import { CommandFailure } from "./failure.js";

/** The options for the token and TLS of a command. */
export interface SecurityOptions {
  token?: string;
  tokenFile?: string;
  tls?: boolean;
  ca?: string;
  cert?: string;
  key?: string;
}

/** Adds the options for tokens and TLS to a command. */
export function addSecurityOptions(command: Command): Command {
  return command
    .option("--token <token>", "the token of the caller (or SQUELCH_TOKEN, which ps does not show)")
    .option("--token-file <file>", "a file with the token, read again for each call")
    .option("--tls", "use TLS, with the CAs of the system")
    .option("--ca <file>", "use TLS, with the CAs in this file (or SQUELCH_CA)")
    .option("--cert <file>", "the client certificate chain, for replicas that identify callers by certificate")
    .option("--key <file>", "the private key of the client certificate");
}

/** The token and TLS settings of a command. */
export interface Security {
  /** Returns the token. Undefined if no token is sent. */
  token: (() => string) | undefined;
  /** Undefined if TLS is not used. */
  tls: { ca?: Buffer; cert?: Buffer; key?: Buffer } | undefined;
}

/**
 * Reads the token and TLS settings from the options and the environment.
 *
 * @throws CommandFailure if a file cannot be read, or two options cannot be combined
 */
export function readSecurity({ env }: CommandContext, options: SecurityOptions): Security {
  const { tokenFile, cert, key, tls } = options;
  const token = options.token ?? (tokenFile === undefined ? env.SQUELCH_TOKEN || undefined : undefined);
  const ca = options.ca ?? (env.SQUELCH_CA || undefined);
  if (options.token !== undefined && tokenFile !== undefined) {
    throw new CommandFailure("give --token or --token-file, not both", 2);
  }
  if ((cert === undefined) !== (key === undefined)) throw new CommandFailure("give --cert with its --key", 2);
  const isTls = tls === true || ca !== undefined || cert !== undefined;
  const readToken = () => {
    const read = tokenFile === undefined ? (token as string) : readOption("--token-file", tokenFile).toString();
    // A later check would quote the token in its error.
    if (isToken(read.trim())) return read.trim();
    throw new CommandFailure("the token is empty, or has spaces, line breaks or non-ASCII characters", 2);
  };
  return {
    token: token === undefined && tokenFile === undefined ? undefined : readToken,
    tls: isTls
      ? {
          ...(ca !== undefined && { ca: readOption("--ca", ca) }),
          ...(cert !== undefined && { cert: readOption("--cert", cert) }),
          ...(key !== undefined && { key: readOption("--key", key) }),
        }
      : undefined,
  };
}

/**
 * Reads the file that an option names.
 *
 * @throws CommandFailure if the file cannot be read
 */
export function readOption(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new CommandFailure(`${flag}: ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`, 2);
  }
}
