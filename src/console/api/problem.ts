import { Code, ConnectError } from "@connectrpc/connect";
import { reasonOfConnectError } from "../../wire/errorInfo.js";

/** A failed call, as the page shows it. */
export interface Problem {
  /**
   * `signIn`: the token is missing or not valid. `forbidden`: the token does not permit the call. `unreachable`: the outcome
   * is unknown, and a retry may help. `refused`: the request is not valid or not possible.
   */
  kind: "signIn" | "forbidden" | "unreachable" | "refused";
  /** The message for people, with a remedy if there is one. */
  text: string;
  /** The reason of the server; undefined if the server gave none. */
  reason: string | undefined;
}

const UNREACHABLE = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.Aborted, Code.Canceled, Code.Unknown]);

export function describeProblem(error: unknown): Problem {
  const failure = ConnectError.from(error);
  return { ...classify(failure), reason: reasonOfConnectError(failure)?.reason };
}

function classify({ code, rawMessage }: ConnectError): Omit<Problem, "reason"> {
  if (code === Code.Unauthenticated) return { kind: "signIn", text: rawMessage || "Sign in to continue." };
  if (code === Code.PermissionDenied) return { kind: "forbidden", text: rawMessage };
  if (UNREACHABLE.has(code)) {
    return {
      kind: "unreachable",
      text: `The server did not answer: ${rawMessage}`,
    };
  }
  return { kind: "refused", text: rawMessage };
}

/** Describes the failure of a call that changes something. The outcome may be unknown. */
export function describeFailedWrite(error: unknown): Problem {
  const problem = describeProblem(error);
  if (problem.kind !== "unreachable" || isNotDone(error)) return problem;
  return { ...problem, text: `${problem.text}. The change may have been made: check it, then try again if needed.` };
}

// The server knows for some failures of the store that nothing was written.
function isNotDone(error: unknown): boolean {
  return reasonOfConnectError(ConnectError.from(error))?.metadata.outcome === "notDone";
}
