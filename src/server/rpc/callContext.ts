import { randomUUID } from "node:crypto";
import { refusal } from "../../domain/errors.js";
import { idProblem, MAX_ID_BYTES } from "../../domain/id.js";
import type { Identity } from "../../domain/identity.js";
import { decodePercent } from "../../lib/percentText.js";
import { ACTOR_KEY, type Credentials } from "../auth/authenticator.js";

/** The facts about a call in its headers and its connection. */
export interface CallHead extends Credentials {
  /** Names the call in logs and in the audit trail: the name that the caller gave, or a random one. */
  callId: string;
  /** The caller's span that the call belongs to, in the format of W3C Trace Context. */
  traceparent: string | undefined;
}

/** The caller of a call, with its headers and connection. */
export interface Caller {
  head: CallHead;
  identity: Identity;
}

/** The data of a call for its handler, besides the request. */
export interface CallContext {
  readonly identity: Identity;
  /** The caller's name. The log of the event records it as the actor of a change. */
  readonly actor: string;
  /** Names the call in logs and in the audit trail. */
  readonly callId: string;
  /** The latest time for the answer, by `performance.now()`, so that the answer arrives in time. */
  readonly answerBeforeMs: number;
  /**
   * Aborted when the work for the call should stop: the client has cancelled, the time is up, the caller's token has
   * expired, or the replica shuts down. Its reason is the error to fail with. A shutdown lets a call finish that has
   * never read this property.
   */
  readonly signal: AbortSignal;
}

/** The metadata key under which a caller names its call. */
const CALL_ID_KEY = "squelch-call-id";

/** @param read returns the value of a metadata key, or undefined if the call does not have the key */
export function createHead(read: (key: string) => string | undefined, certificate: CallHead["certificate"]): CallHead {
  const readText = (key: string) => {
    const value = read(key);
    return value === undefined ? undefined : decodeOrKeep(value);
  };
  return {
    authorization: read("authorization"),
    actor: readText(ACTOR_KEY),
    // A longer name is refused. It is shortened here because logs and the audit trail record the refusal.
    callId: readText(CALL_ID_KEY)?.slice(0, MAX_ID_BYTES + 1) ?? randomUUID(),
    traceparent: read("traceparent"),
    certificate,
  };
}

/** @throws SquelchError `invalidArgument` if the name of the call is not a valid id */
export function checkCallId({ callId }: CallHead): void {
  const problem = idProblem(callId);
  if (problem !== undefined) throw refusal("INVALID_METADATA", `${CALL_ID_KEY}: ${problem}`, { key: CALL_ID_KEY });
}

// A value that does not decode to UTF-8 becomes one that no check of ids accepts.
function decodeOrKeep(value: string): string {
  try {
    return decodePercent(value);
  } catch {
    return "{}";
  }
}
