import type { LogEntry } from "../../src/domain/change.js";
import type { Engine, MembershipUpdate, SetUserChannelsOutcome } from "../../src/domain/ports.js";
import { EventFeed } from "../../src/server/feed/eventFeed.js";
import { Watcher } from "../../src/server/feed/watcher.js";

/** A defect that a replica can be given, and that a law must find. */
export interface Flaw {
  description: string;
  /** Puts a defect between the replica and its store. */
  decorateEngine?(engine: Engine): Engine;
  /** Puts a defect into the replica itself. */
  patch?(): void;
}

const SWALLOWED_ONE_IN = 3;

// The follower believes that the log ends with what it was told.
function swallowEntries(engine: Engine): Engine {
  const newest = new Map<string, number>();
  let count = 0;
  return {
    ...engine,
    follow: (eventId, listener) =>
      engine.follow(eventId, (entry: LogEntry) => {
        if (count++ % SWALLOWED_ONE_IN === 0) return;
        newest.set(eventId, entry.revision);
        listener(entry);
      }),
    async readPosition(eventId) {
      const position = await engine.readPosition(eventId);
      const revision = newest.get(eventId);
      return position && { ...position, revision: Math.min(position.revision, revision ?? position.revision) };
    },
  };
}

function mapUpdates(engine: Engine, map: (update: MembershipUpdate) => MembershipUpdate): Engine {
  return {
    ...engine,
    applyMemberships: (eventId, updates) => engine.applyMemberships(eventId, updates.map(map)),
  };
}

async function answerWell(answer: Promise<SetUserChannelsOutcome>): Promise<SetUserChannelsOutcome> {
  return answer.catch(() => ({ revision: 1, added: ["done"], removed: [], superseded: false }));
}

/** By name; each breaks one guarantee. */
export const FLAWS = {
  neverCatchesUp: {
    description: "after the first load a feed takes what it is told, and reads nothing that it has missed",
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
    description: "a cursor of another epoch is taken for one of this epoch",
    patch() {
      const add = Watcher.prototype.add;
      Watcher.prototype.add = function (this: Watcher, feed, position) {
        const { epoch, revision } = feed.position;
        add.call(this, feed, position && { epoch, revision: Math.min(position.revision, revision) });
      };
    },
  },
  swallowsEntries: {
    description: "one entry in three is lost between Redis and the feed, and nobody looks where the log ends",
    decorateEngine: swallowEntries,
  },
  olderWins: {
    description: "of two updates the older one wins",
    decorateEngine: (engine) =>
      mapUpdates(engine, (update) => {
        const { generation, count } = update.position;
        return { ...update, position: { generation: 2 ** 42 - generation, count: 2 ** 20 - count } };
      }),
  },
  countsNoMessages: {
    description: "updates between the same two tickets have the same position",
    decorateEngine: (engine) =>
      mapUpdates(engine, (update) => ({ ...update, position: { ...update.position, count: 1 } })),
  },
  mixesEvents: {
    description: "a snapshot has users of the event that was loaded before",
    decorateEngine(engine) {
      let others: Awaited<ReturnType<Engine["loadEvent"]>>["members"] = [];
      return {
        ...engine,
        async loadEvent(eventId) {
          const state = await engine.loadEvent(eventId);
          const members = [...state.members, ...others];
          others = state.members.slice(0, 1);
          return { ...state, members };
        },
      };
    },
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
      Object.defineProperty(EventFeed.prototype, "isInSync", { get: () => true });
    },
  },
} as const satisfies Record<string, Flaw>;

export type FlawName = keyof typeof FLAWS;
