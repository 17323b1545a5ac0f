import { Code, ConnectError } from "@connectrpc/connect";

/** What a failed call means for the page. */
export interface Problem {
  /**
   * `signIn`: the server does not know who asks; `forbidden`: it does, and refuses; `unreachable`: the outcome is not
   * known, trying again may help; `refused`: the call itself is not acceptable.
   */
  kind: "signIn" | "forbidden" | "unreachable" | "refused";
  /** For people, with the remedy where there is one. */
  text: string;
}

const UNREACHABLE = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.Aborted, Code.Canceled, Code.Unknown]);

export function describeProblem(error: unknown): Problem {
  const { code, rawMessage } = ConnectError.from(error);
  if (code === Code.Unauthenticated) return { kind: "signIn", text: rawMessage || "Sign in to go on." };
  if (code === Code.PermissionDenied) return { kind: "forbidden", text: rawMessage };
  if (UNREACHABLE.has(code)) {
    return {
      kind: "unreachable",
      text: `The server did not answer: ${rawMessage}`,
    };
  }
  return { kind: "refused", text: rawMessage };
}

/** The same for a call that changes something, whose outcome may be unknown. */
export function describeFailedWrite(error: unknown): Problem {
  const problem = describeProblem(error);
  if (problem.kind !== "unreachable") return problem;
  return { ...problem, text: `${problem.text}. It is not known whether it was done: look, and try again.` };
}
