import { randomUUID } from "node:crypto";
import { SquelchError } from "../../domain/errors.js";
import { idProblem } from "../../domain/id.js";

/** What a service knows of a call beside its request. */
export interface CallContext {
  /** Who asks; goes into the log of the event as the author of a change. */
  actor: string;
  /** Names the call in logs and in the audit trail. */
  requestId: string;
}

/** What a call that waits for something to happen knows beside its request. */
export interface WaitContext extends CallContext {
  /** When to answer at the latest, so that the answer still arrives, by `performance.now()`; Infinity if never. */
  answerBeforeMs: number;
  /** Aborted, with a SquelchError, when nobody waits for the answer any more or the replica shuts down. */
  signal: AbortSignal;
}

/** The metadata key under which a caller names itself. */
export const ACTOR_KEY = "squelch-actor";

/** The metadata key under which a caller names its call. */
export const REQUEST_ID_KEY = "squelch-request-id";

/** The actor of a caller who does not. */
const ANONYMOUS = "anonymous";

/**
 * The context of a call whose caller names itself and the call, or does not.
 *
 * @throws SquelchError `invalidArgument` if a name is no id
 */
export function parseCallContext(actor = ANONYMOUS, requestId: string = randomUUID()): CallContext {
  for (const [key, name] of [
    [ACTOR_KEY, actor],
    [REQUEST_ID_KEY, requestId],
  ] as const) {
    const problem = idProblem(name);
    if (problem !== undefined) throw new SquelchError("invalidArgument", `${key}: ${problem}`);
  }
  return { actor, requestId };
}
