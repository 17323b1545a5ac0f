import fc from "fast-check";
import { REPLICAS, type Step } from "./ingestModel.js";
import type { KeptReason } from "./reconcileModel.js";

/** The reasons why the control plane's keys may lack a write that every replica has missed. */
export type Shortfall = KeptReason | "another event";

/** The steps that may occur in a schedule, and the damage that the keys then cannot repair. */
export interface World {
  events: readonly string[];
  users: readonly string[];
  /** Writes over RPC. */
  calls: boolean;
  /** The control plane revokes the last channel of users. */
  emptied: boolean;
  /** The control plane gives users channels in more than one event, and channels that belong to no event. */
  manyEvents: boolean;
  /** The control plane recomputes a user twice at once. */
  overlapping: boolean;
  /** Redis loses data. */
  losses: boolean;
  /** Why a write that every replica missed may stay missing. */
  shortfalls: readonly Shortfall[];
}

const BASE: World = {
  events: ["e", "f"],
  users: ["u", "v"],
  calls: false,
  emptied: false,
  manyEvents: false,
  overlapping: false,
  losses: false,
  shortfalls: [],
};

const EVERY_SHORTFALL: readonly Shortfall[] = [
  "over RPC",
  "key never seen",
  "several events",
  "no single owner",
  "another event",
];

export const WORLDS = {
  "the control plane alone": BASE,
  "the control plane alone, Redis loses data": { ...BASE, losses: true },
  "writes over RPC": { ...BASE, calls: true, shortfalls: ["over RPC"] },
  "writes over RPC, Redis loses data": { ...BASE, calls: true, losses: true, shortfalls: ["over RPC"] },
  "users who lose their last channel": {
    ...BASE,
    calls: true,
    emptied: true,
    shortfalls: ["over RPC", "key never seen", "several events"],
  },
  "users in several events": {
    ...BASE,
    calls: true,
    emptied: true,
    manyEvents: true,
    losses: true,
    shortfalls: EVERY_SHORTFALL,
  },
  "recomputes of one user at once": {
    ...BASE,
    calls: true,
    emptied: true,
    manyEvents: true,
    overlapping: true,
    losses: true,
    shortfalls: EVERY_SHORTFALL,
  },
} satisfies Record<string, World>;

/** The event of a user, if each user is in one event. */
const EVENT_OF_USER: Record<string, string> = { u: "e", v: "f" };

const CHANNELS: Record<string, string[]> = { e: ["e1", "e2"], f: ["f1", "f2"] };

const SCHEDULE_LENGTHS = [15, 40, 80];

/** A schedule, and how it ends. */
export interface Schedule {
  /** True if the fleet has never run before. */
  isCold: boolean;
  steps: Step[];
  /** The replicas that stay alive, in the order in which they wake up; all if undefined. */
  survivors: number[];
}

/** The channels that are known from the start to belong to their events: all, or one of each event. */
export function knownChannels(world: World): [channelId: string, eventId: string][] {
  return world.events.flatMap((event) => {
    const channels = CHANNELS[event] ?? [];
    return (world.manyEvents ? channels.slice(0, 1) : channels).map((channel): [string, string] => [channel, event]);
  });
}

/** Generates random schedules of a world. Each consists of a few kinds of steps, because that finds more flaws. */
export function schedules(world: World): fc.Arbitrary<Schedule> {
  const possible = possibleSteps(world);
  const optional = possible.filter(({ isOptional }) => isOptional);
  const chosen = fc.oneof(fc.subarray(optional), fc.subarray(optional, { maxLength: 4 }));
  return fc.record({
    isCold: fc.boolean(),
    steps: fc
      .tuple(chosen, fc.constantFrom(...SCHEDULE_LENGTHS))
      .chain(([some, maxLength]) =>
        fc.array(fc.oneof(...possible.filter(({ isOptional }) => !isOptional), ...some), { maxLength, size: "max" }),
      ),
    survivors: fc.shuffledSubarray([...REPLICAS]),
  });
}

interface PossibleStep {
  weight: number;
  arbitrary: fc.Arbitrary<Step>;
  isOptional: boolean;
}

function possibleSteps(world: World): PossibleStep[] {
  const event = fc.constantFrom(...world.events);
  const user = fc.constantFrom(...world.users);
  const replica = fc.constantFrom(...REPLICAS);
  const apart = fc.boolean();
  const channels = (eventId: string, minLength: number) => fc.subarray(CHANNELS[eventId] ?? [], { minLength });
  const assigned = fc.tuple(user, event).chain(([userId, anyEvent]) => {
    const eventId = world.manyEvents ? anyEvent : (EVENT_OF_USER[userId] ?? anyEvent);
    const channelIds = channels(eventId, world.emptied ? 0 : 1);
    return fc.record({ event: fc.constant(eventId), user: fc.constant(userId), channels: channelIds });
  });
  const called = event.chain((eventId) =>
    fc.record({ event: fc.constant(eventId), user, channels: channels(eventId, 0) }),
  );
  const synced = event.chain((eventId) =>
    fc.record({ event: fc.constant(eventId), users: fc.dictionary(user, channels(eventId, 0), { maxKeys: 2 }), apart }),
  );
  const messages = fc.integer({ min: 1, max: 10 });
  const undelivered = fc.nat(3);
  const applied = fc.record({ replica, event, size: fc.integer({ min: 1, max: 3 }) });
  const fate = fc.constantFrom("lost" as const, "unanswered" as const, "late" as const);

  const always = (weight: number, arbitrary: fc.Arbitrary<Step>) => ({ weight, arbitrary, isOptional: false });
  const perhaps = (weight: number, arbitrary: fc.Arbitrary<Step>) => ({ weight, arbitrary, isOptional: true });
  const steps = [
    always(
      8,
      assigned.map((rest) => ({ do: "assign", ...rest })),
    ),
    always(
      8,
      fc.record({ replica, messages }).map((rest) => ({ do: "receive", ...rest })),
    ),
    always(
      4,
      applied.map((rest) => ({ do: "apply", ...rest, fate: "done" })),
    ),
    always(
      4,
      replica.map((index) => ({ do: "keepUp", replica: index })),
    ),
    perhaps(
      3,
      fc.tuple(applied, fate).map(([rest, anyFate]) => ({ do: "apply", ...rest, fate: anyFate })),
    ),
    perhaps(2, fc.constant({ do: "arrive" })),
    perhaps(
      3,
      assigned.map((rest) => ({ do: "beginAssign", ...rest, besides: world.overlapping })),
    ),
    perhaps(
      4,
      user.map((userId) => ({ do: "continueAssign", user: userId })),
    ),
    perhaps(4, fc.constant({ do: "publishMalformed" })),
    perhaps(
      6,
      replica.map((index) => ({ do: "tick", replica: index })),
    ),
    perhaps(
      4,
      replica.map((index) => ({ do: "connect", replica: index })),
    ),
    perhaps(
      4,
      fc.record({ replica, steps: fc.constantFrom(1, 2, 5, 100) }).map((rest) => ({ do: "reconcile", ...rest })),
    ),
    perhaps(
      4,
      fc.record({ replica, undelivered }).map((rest) => ({ do: "cut", ...rest })),
    ),
    perhaps(
      4,
      undelivered.map((count) => ({ do: "cutAll", undelivered: count })),
    ),
    perhaps(
      2,
      replica.map((index) => ({ do: "crash", replica: index })),
    ),
    perhaps(
      2,
      fc.record({ replica, event }).map((rest) => ({ do: "overflow", ...rest })),
    ),
    perhaps(
      2,
      replica.map((index) => ({ do: "beginEpoch", replica: index })),
    ),
    perhaps(
      2,
      fc.nat(3).map((ms) => ({ do: "passTime", ms })),
    ),
    perhaps(2, fc.constant({ do: "restartRedis", data: "kept" })),
  ];
  if (world.calls) {
    steps.push(
      perhaps(
        5,
        fc.tuple(called, apart).map(([rest, isApart]) => ({ do: "set", ...rest, apart: isApart })),
      ),
      perhaps(
        2,
        called.map((rest) => ({ do: "seed", ...rest })),
      ),
      perhaps(
        3,
        synced.map((rest) => ({ do: "sync", ...rest })),
      ),
      perhaps(
        2,
        event.map((eventId) => ({ do: "purge", event: eventId })),
      ),
    );
  }
  if (world.losses) {
    steps.push(
      perhaps(2, fc.constant({ do: "save" })),
      perhaps(
        2,
        fc.constantFrom("saved" as const, "gone" as const).map((data) => ({ do: "restartRedis", data })),
      ),
      perhaps(2, fc.constant({ do: "loseState" })),
    );
  }
  return steps;
}
