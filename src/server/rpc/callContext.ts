/** What a service knows of a call beside its request. */
export interface CallContext {
  /** Who asks; goes into the log of the event as the author of a change. */
  actor: string;
}

/** The metadata key under which a caller names itself. */
export const ACTOR_KEY = "squelch-actor";

/** The actor of a caller who does not. */
export const ANONYMOUS = "anonymous";
