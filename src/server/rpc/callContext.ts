import { SquelchError } from "../../domain/errors.js";
import { idProblem } from "../../domain/id.js";

/** What a service knows of a call beside its request. */
export interface CallContext {
  /** Who asks; goes into the log of the event as the author of a change. */
  actor: string;
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

/** The actor of a caller who does not. */
const ANONYMOUS = "anonymous";

/**
 * The context of a call whose caller names itself, or does not.
 *
 * @throws SquelchError `invalidArgument` if the name is no id
 */
export function parseCallContext(actor: string | undefined): CallContext {
  if (actor === undefined) return { actor: ANONYMOUS };
  const problem = idProblem(actor);
  if (problem !== undefined) throw new SquelchError("invalidArgument", `${ACTOR_KEY}: ${problem}`);
  return { actor };
}
