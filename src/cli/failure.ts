import { Code, ConnectError } from "@connectrpc/connect";
import { SquelchError } from "../domain/errors.js";
import { reasonOfConnectError } from "../wire/errorInfo.js";
import { formatDuration } from "./output/duration.js";
import { printable } from "./output/output.js";

/** A command failed. The message is one line for people: the cause and the remedy. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";

  constructor(
    message: string,
    /** 1 if the command failed, 2 if its arguments are wrong. */
    readonly exitCode: 1 | 2 = 1,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

const SYSTEM_ERRORS: Record<string, string> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network unreachable",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "the name could not be resolved",
  ETIMEDOUT: "timed out",
  EPIPE: "connection closed",
  EADDRINUSE: "the address is in use",
  EADDRNOTAVAIL: "this machine has no such address",
  EACCES: "permission denied",
};

// Returns the Node.js error codes of an error and its causes.
function systemCodes(error: unknown): string[] {
  const codes: string[] = [];
  for (let at = error; at instanceof Error && codes.length < 8; at = at.cause) {
    codes.push("code" in at && typeof at.code === "string" ? at.code : "");
  }
  return codes;
}

/** Converts the error of a call to a CommandFailure with cause and remedy. Other errors are returned unchanged. */
export function describeCallError(error: unknown, call: { address: string; timeoutMs: number }): unknown {
  if (!(error instanceof ConnectError)) return error;
  return new CommandFailure(callErrorLine(error, call), 1, { cause: error });
}

function callErrorLine(error: ConnectError, { address, timeoutMs }: { address: string; timeoutMs: number }): string {
  const codes = systemCodes(error);
  const systemError = codes.map((code) => SYSTEM_ERRORS[code]).find((text) => text !== undefined);
  if (systemError !== undefined && error.code === Code.Unavailable) {
    const remedy = 'is a replica running? start one with "squelch serve" or name it with --address';
    return `cannot reach ${address}: ${systemError}; ${remedy}`;
  }
  if (codes.some((code) => code.startsWith("ERR_HTTP2"))) {
    return `${address} does not speak gRPC; name the gRPC address of a replica with --address`;
  }
  const said = error.rawMessage === "" ? Code[error.code] : error.rawMessage;
  switch (error.code) {
    case Code.InvalidArgument:
    case Code.NotFound:
    case Code.AlreadyExists:
    case Code.OutOfRange:
    case Code.FailedPrecondition:
      return said;
    case Code.Unavailable:
      // The messages of a replica have a remedy.
      return `${address} is unavailable: ${reasonOfConnectError(error) ? said : `${said}; try again`}`;
    case Code.DeadlineExceeded:
      return `no answer from ${address} within ${formatDuration(timeoutMs)}; allow more time with --timeout`;
    case Code.ResourceExhausted:
      // A limit stays as it is, however long one waits.
      if (reasonOfConnectError(error)?.reason === "LIMIT_EXCEEDED") return said;
      return `${address} refuses for now: ${said}; try again later`;
    case Code.Unauthenticated:
    case Code.PermissionDenied:
      return `${address} does not permit this: ${said}`;
    case Code.Unimplemented:
      return `${address} cannot do this: ${said}; is it a replica of this version of Squelch?`;
    case Code.Canceled:
    case Code.Aborted:
      return `the connection to ${address} was lost: ${systemError ?? said}; try again`;
    case Code.Unknown:
    case Code.Internal:
    case Code.DataLoss:
      return `${address} failed: ${said}; see its log for details`;
  }
}

// The message of Node.js is "listen EADDRINUSE: address already in use 127.0.0.1:8080". grpc-js adds text around it.
function listenErrorLine(message: string): string | undefined {
  const [, code = "", address] = /\b(?:listen|getaddrinfo) (E[A-Z_]+)\b.* ([^\s\]]+)\]?$/.exec(message) ?? [];
  if (address === undefined) return undefined;
  return `cannot listen on ${address}: ${SYSTEM_ERRORS[code] ?? code}; choose another address, port 0 for a free one`;
}

/** Returns the line for stderr and the exit code for an error of a command. */
export function describeFailure(error: unknown): { line: string; exitCode: 1 | 2 } {
  const text = error instanceof Error ? error.message : String(error);
  const line = printable(text.trim().replace(/\s*\n\s*/g, "; "));
  if (error instanceof CommandFailure) return { line, exitCode: error.exitCode };
  if (error instanceof SquelchError) return { line, exitCode: error.code === "invalidArgument" ? 2 : 1 };
  return { line: listenErrorLine(line) ?? line, exitCode: 1 };
}
