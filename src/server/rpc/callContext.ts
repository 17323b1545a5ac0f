import { randomUUID } from "node:crypto";
import { SquelchError } from "../../domain/errors.js";
import { idProblem } from "../../domain/id.js";
import type { Identity } from "../../domain/identity.js";
import type { Credentials } from "../auth/authenticator.js";

/** What a plane knows of a call beside its request. */
export interface CallHead extends Credentials {
  /** What the caller names the call, if anything. */
  requestId: string | undefined;
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
export const REQUEST_ID_KEY = "squelch-request-id";

/**
 * The context of a call, whose caller has named it or has not.
 *
 * @throws SquelchError `invalidArgument` if the name is no id
 */
export function createContext(identity: Identity, requestId: string = randomUUID()): CallContext {
  const problem = idProblem(requestId);
  if (problem !== undefined) throw new SquelchError("invalidArgument", `${REQUEST_ID_KEY}: ${problem}`);
  return { identity, actor: identity.name, requestId };
}
