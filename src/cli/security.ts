import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { isToken } from "../lib/callToken.js";
import type { CommandContext } from "./context.js";
import { CommandFailure } from "./failure.js";

/** How a command proves who it is, and whom it believes. */
export interface SecurityOptions {
  token?: string;
  tokenFile?: string;
  tls?: boolean;
  ca?: string;
  cert?: string;
  key?: string;
}

/** Gives a command the options of tokens and TLS. */
export function addSecurityOptions(command: Command): Command {
  return command
    .option("--token <token>", "says who calls (or SQUELCH_TOKEN, which ps does not show)")
    .option("--token-file <file>", "a file with the token, read anew for each call")
    .option("--tls", "call over TLS, with the CAs of the system")
    .option("--ca <file>", "call over TLS, with the CAs in this file (or SQUELCH_CA)")
    .option("--cert <file>", "the client certificate chain, where it says who calls")
    .option("--key <file>", "its private key");
}

/** What the options come to. */
export interface Security {
  /** Undefined: no token is sent. */
  token: (() => string) | undefined;
  /** Undefined: no TLS. */
  tls: { ca?: Buffer; cert?: Buffer; key?: Buffer } | undefined;
}

/** @throws CommandFailure if a file cannot be read, or options do not go together */
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
    // Whatever refused it later would quote it.
    if (isToken(read.trim())) return read.trim();
    throw new CommandFailure("the token is empty, or has spaces, ends of lines or characters beyond ASCII", 2);
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

/** @throws CommandFailure if the file cannot be read */
export function readOption(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new CommandFailure(`${flag}: ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`, 2);
  }
}
