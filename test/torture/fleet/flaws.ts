import { setTimeout as sleep } from "node:timers/promises";
import type { LogEntry } from "../../../src/domain/change.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import type { MembershipUpdate, SetUserChannelsOutcome } from "../../../src/domain/ports/membershipStore.js";
import { EventFeed } from "../../../src/server/feed/eventFeed.js";
import { Watcher } from "../../../src/server/feed/watcher.js";
import {
  anchorPattern,
  countTicketsOfOthers,
  dropOnUnknownError,
  probeByReading,
  silenceIngest,
  stayWithDemoted,
} from "./refusalFlaws.js";

/** A defect of a replica. A law must detect it. */
export interface Flaw {
  description: string;
  /** Inserts the defect between the replica and its store. */
  decorateEngine?(engine: Engine): Engine;
  /** Puts the defect into the replica itself. */
  patch?(): void;
}

/** The number of an event's entries that arrive. */
const HEARD_ENTRIES = 5;
const MIXED_ONE_IN = 10;
const ARRIVAL_DELAY_MS = 400;

// The feed believes that the last entry it received is the end of the log.
function fallSilent(engine: Engine): Engine {
  const received = new Map<string, number[]>();
  return {
    ...engine,
    follow: (eventId, listener) =>
      engine.follow(eventId, (entry: LogEntry) => {
        const revisions = received.get(eventId) ?? [];
        if (revisions.length >= HEARD_ENTRIES) return;
        received.set(eventId, [...revisions, entry.revision]);
        listener(entry);
      }),
    async readPosition(eventId) {
      const position = await engine.readPosition(eventId);
      const newest = received.get(eventId)?.at(-1);
      return position && { ...position, revision: newest ?? position.revision };
    },
  };
}

function mixEvents(engine: Engine): Engine {
  let count = 0;
  let other: LogEntry | undefined;
  return {
    ...engine,
    follow: (eventId, listener) =>
      engine.follow(eventId, (entry: LogEntry) => {
        const { epoch, revision } = entry;
        listener(other !== undefined && count++ % MIXED_ONE_IN === 0 ? { ...other, epoch, revision } : entry);
        other = entry;
      }),
  };
}

// Later positions become lower ones.
function reversePositions(updates: readonly MembershipUpdate[]): MembershipUpdate[] {
  return updates.map((update) => {
    const { generation, count } = update.position;
    return { ...update, position: { generation: 2 ** 42 - generation, count: 2 ** 20 - count } };
  });
}

async function answerWell(answer: Promise<SetUserChannelsOutcome>): Promise<SetUserChannelsOutcome> {
  return answer.catch(() => ({
    ...{ revision: 1, epoch: "e", replicated: false },
    ...{ added: ["done"], removed: [], superseded: false },
  }));
}

/** By name; each breaks one guarantee. */
export const FLAWS = {
  neverCatchesUp: {
    description: "after the first load a feed accepts published entries, but does not read those that it missed",
    patch() {
      const synchronise = EventFeed.prototype.synchronise;
      const loaded = new WeakSet<EventFeed>();
      EventFeed.prototype.synchronise = async function (this: EventFeed) {
        if (loaded.has(this)) return;
        await synchronise.call(this);
        loaded.add(this);
      };
    },
  },
  takesAnyEpoch: {
    description: "a cursor of another epoch is taken for one at the end of this epoch",
    patch() {
      const add = Watcher.prototype.add;
      Watcher.prototype.add = function (this: Watcher, feed, position) {
        add.call(this, feed, position?.epoch === feed.position.epoch ? position : position && feed.position);
      };
    },
  },
  fallsSilent: {
    description: "after some entries of an event no more arrive, and the end of the log is not checked",
    decorateEngine: fallSilent,
  },
  olderWins: {
    description: "of two updates the older one wins",
    decorateEngine: (engine) => ({
      ...engine,
      applyMemberships: (eventId, updates) => engine.applyMemberships(eventId, reversePositions(updates)),
    }),
  },
  ordersByArrival: {
    description: "an update takes its place in the order when it is applied, not when it was published",
    decorateEngine: (engine) => ({
      ...engine,
      async applyMemberships(eventId, updates) {
        await sleep(ARRIVAL_DELAY_MS);
        const position = { generation: Date.now(), count: 0 };
        return engine.applyMemberships(
          eventId,
          updates.map((update, index) => ({ ...update, position: { ...position, count: index } })),
        );
      },
    }),
  },
  mixesEvents: {
    description: "one change in ten has the content of another event's change",
    decorateEngine: mixEvents,
  },
  hidesFailures: {
    description: "a write that failed is answered as if it had been done",
    decorateEngine: (engine) => ({
      ...engine,
      setUserChannels: (write) => answerWell(engine.setUserChannels(write)),
    }),
  },
  alwaysHealthy: {
    description: "checkpoints say that all is well, whatever happens to Redis",
    decorateEngine: (engine) => ({ ...engine, feedHealth: () => ({ healthy: true, ageMs: 0 }) }),
    patch() {
      EventFeed.prototype.isInSyncFor = () => true;
    },
  },
  anchorsPattern: {
    description: "what an error means is decided at the beginning of its text only",
    decorateEngine: anchorPattern,
  },
  dropsOnUnknownError: {
    description: "an update that Redis refuses with an error that is not known is passed over",
    decorateEngine: dropOnUnknownError,
  },
  probesByReading: {
    description: "a replica that can read takes itself for ready",
    decorateEngine: probeByReading,
    patch: silenceIngest,
  },
  countsTicketsOfOthers: {
    description: "a replica that sees the tickets of others takes itself for ready",
    decorateEngine: countTicketsOfOthers,
    patch: silenceIngest,
  },
  staysWithDemoted: {
    description: "a connection to a server that has become a replica is not given up",
    patch: stayWithDemoted,
  },
} as const satisfies Record<string, Flaw>;

export type FlawName = keyof typeof FLAWS;
