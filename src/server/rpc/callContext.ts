import { randomUUID } from "node:crypto";
import { SquelchError } from "../../domain/errors.js";
import { idProblem, MAX_ID_BYTES } from "../../domain/id.js";
import type { Identity } from "../../domain/identity.js";
import { ACTOR_KEY, type Credentials } from "../auth/authenticator.js";

/** What a plane knows of a call beside its request. */
export interface CallHead extends Credentials {
  /** Names the call: the caller's name for it, if there is one. */
  requestId: string;
  /** The span of the caller that the call belongs to, as W3C Trace Context has it. */
  traceparent: string | undefined;
}

/** What a service knows of a call beside its request. */
export interface CallContext {
  /** Who asks. */
  identity: Identity;
  /** The name of who asks; goes into the log of the event as the author of a change. */
  actor: string;
  /** Names the call in logs and in the audit trail. */
  requestId: string;
}

/** The bounds of a call that waits for something to happen. */
export interface WaitBounds {
  /** When to answer at the latest, so that the answer still arrives, by `performance.now()`; Infinity if never. */
  answerBeforeMs: number;
  /** Aborted, with a SquelchError, when nobody waits for the answer any more or the replica shuts down. */
  signal: AbortSignal;
}

/** What a call that waits for something to happen knows beside its request. */
export interface WaitContext extends CallContext, WaitBounds {}

/** The metadata key under which a caller names its call. */
const REQUEST_ID_KEY = "squelch-request-id";

/** @param read the value of a metadata key, if it is there */
export function createHead(read: (key: string) => string | undefined, certificate: CallHead["certificate"]): CallHead {
  return {
    authorization: read("authorization"),
    actor: read(ACTOR_KEY),
    // What is longer is refused, and still goes into logs.
    requestId: read(REQUEST_ID_KEY)?.slice(0, MAX_ID_BYTES + 1) ?? randomUUID(),
    traceparent: read("traceparent"),
    certificate,
  };
}

/** @throws SquelchError `invalidArgument` if the call's name is no id */
export function createContext(identity: Identity, requestId: string): CallContext {
  const problem = idProblem(requestId);
  if (problem !== undefined) throw new SquelchError("invalidArgument", `${REQUEST_ID_KEY}: ${problem}`);
  return { identity, actor: identity.name, requestId };
}
