import { parseArgs } from "node:util";
import { Redis } from "ioredis";
import { SquelchError } from "../../../src/domain/errors.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import { Ingest } from "../../../src/server/state/ingest.js";

/** How long a replica stays healthy without a proof, ms. */
const PROOF_MS = 6_000;
const READ_INTERVAL_MS = 500;
const TICKETS = "squelch:ingest";

const CODES =
  "LOADING|BUSY|OOM|NOREPLICAS|READONLY|MISCONF|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|NOPERM|NOAUTH|WRONGPASS|NOSCRIPT";
const STARTS_WITH_CODE = new RegExp(`^(${CODES})\\b`);
const NAMES_CODE = new RegExp(`\\b(${CODES}|max number of clients)\\b`);

// Returns the error reply of Redis if that is the cause of a failed call.
function replyOf(error: unknown): Error | undefined {
  const cause = error instanceof SquelchError ? error.cause : error;
  return cause instanceof Error && cause.name === "ReplyError" ? cause : undefined;
}

/** Only an error that begins with its code is tried again. Every other error counts as a defect. */
export function anchorPattern(engine: Engine): Engine {
  const decorate = (call: (...args: unknown[]) => unknown) => {
    return (...args: unknown[]) => {
      const answer = call(...args);
      if (!(answer instanceof Promise)) return answer;
      return answer.catch((error: unknown) => {
        const reply = replyOf(error);
        throw reply === undefined || STARTS_WITH_CODE.test(reply.message) ? error : reply;
      });
    };
  };
  const entries = Object.entries(engine).map(([name, value]) => {
    return [name, typeof value === "function" ? decorate(value as never) : value] as const;
  });
  return Object.fromEntries(entries) as unknown as Engine;
}

/** An update that fails with an unknown error counts as done. */
export function dropOnUnknownError(engine: Engine): Engine {
  return {
    ...engine,
    applyMemberships: (eventId, updates) =>
      engine.applyMemberships(eventId, updates).catch((error: unknown) => {
        const reply = replyOf(error);
        if (reply === undefined || NAMES_CODE.test(reply.message)) throw error;
        return updates.map(() => ({ status: "unchanged", revision: 0, added: [], removed: [], foreignChannelIds: [] }));
      }),
  };
}

/** Successful reads count as the proof of health. */
export function probeByReading(engine: Engine): Engine {
  let readMs = 0;
  const read = () => {
    const done = () => {
      readMs = performance.now();
    };
    engine.listEvents().then(done, () => undefined);
  };
  setInterval(read, READ_INTERVAL_MS).unref();
  return { ...engine, feedHealth: () => healthOf(readMs) };
}

/** A ticket of another replica counts as the proof of health. */
export function countTicketsOfOthers(engine: Engine): Engine {
  const { values } = parseArgs({ options: { "redis-url": { type: "string" } }, strict: false });
  let seenMs = 0;
  const subscription = new Redis(values["redis-url"] as string, { connectionName: "flaw" });
  subscription.on("error", () => undefined);
  subscription.on("message", () => {
    seenMs = performance.now();
  });
  subscription.subscribe(TICKETS).catch(() => undefined);
  return {
    ...engine,
    feedHealth: () => healthOf(seenMs),
    async close() {
      subscription.disconnect();
      await engine.close();
    },
  };
}

/** The ingest does not report rejected updates, because this would reveal what a wrong probe hides. */
export function silenceIngest(): void {
  Ingest.prototype.problem = () => undefined;
}

/** A connection to a demoted server is not closed. */
export function stayWithDemoted(): void {
  const { disconnect } = Redis.prototype;
  Redis.prototype.disconnect = function (this: Redis, reconnect = false) {
    if (!reconnect) disconnect.call(this, false);
  };
}

function healthOf(provenMs: number) {
  const ageMs = Math.round(performance.now() - provenMs);
  return { healthy: ageMs < PROOF_MS, ageMs };
}
