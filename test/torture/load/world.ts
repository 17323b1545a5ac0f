import type { Random } from "../random.js";

/** The channels of each event. The combination that a write names identifies the write. */
const CHANNELS = 14;
const USERS = 16;
const ROAMERS = 4;
/** The number of roaming users among the users of each event. Their assignments are only published. */
const KEYLESS = 2;
/** The number of combinations of channels, without the empty one. */
const CONTENTS = 2 ** CHANNELS - 1;
/** This is odd, so that multiplication maps the numbers below 2^14 to different numbers. */
const SPREAD = 0x1a4d;

/** The paths that the writes of a user take. */
export type UserKind = "published" | "rpc" | "mixed";

/** The events, users and channels of a fleet, and the next combination of channels that has not been used. */
export class World {
  readonly eventIds: readonly string[];
  /** Users of several events, whose assignments are only published. */
  readonly roamers = Array.from({ length: ROAMERS }, (_, index) => `roamer${index}`);
  readonly #used = new Map<string, number>();

  /** @param isOrdered false if publications and calls have no common order; then no user uses both paths */
  constructor(
    events: number,
    random: Random,
    readonly isOrdered = true,
  ) {
    const name = random.integer(0, 0xffffff).toString(16);
    this.eventIds = Array.from({ length: events }, (_, index) => `${name}-e${index}`);
  }

  /** The users that belong to one event only. */
  usersOf(eventId: string): string[] {
    return Array.from({ length: USERS }, (_, index) => `${eventId}.u${index}`);
  }

  kindOf(userId: string): UserKind {
    const index = Number(/\.u(\d+)$/.exec(userId)?.[1] ?? 0);
    if (index < USERS / 2) return "published";
    return index < (USERS * 3) / 4 || !this.isOrdered ? "rpc" : "mixed";
  }

  /** Users without a set of the control plane: the published messages are the only information about them. */
  isKeyless(userId: string): boolean {
    return Number(/\.u(\d+)$/.exec(userId)?.[1] ?? KEYLESS) < KEYLESS;
  }

  /** Events whose members are sometimes replaced by a sync. */
  isSynced(eventId: string): boolean {
    return this.isOrdered && this.eventIds.indexOf(eventId) < 2;
  }

  channelsOf(eventId: string): string[] {
    return Array.from({ length: CHANNELS }, (_, index) => channelId(eventId, index));
  }

  /** Returns a combination of channels that was not used in the event before, neither empty nor complete. */
  nextChannels(eventId: string): string[] {
    const number = (this.#used.get(eventId) ?? 0) + 1;
    if (number > CONTENTS) throw new Error(`too many writes in ${eventId} to distinguish them`);
    this.#used.set(eventId, number);
    // Consecutive numbers would differ in only a few channels.
    const mixed = (number * SPREAD) % (CONTENTS + 1);
    if (mixed === CONTENTS) return this.nextChannels(eventId);
    return this.channelsOf(eventId).filter((_, index) => (mixed >> index) & 1);
  }
}

function channelId(eventId: string, index: number): string {
  return `${eventId}.c${index.toString().padStart(2, "0")}`;
}

/** Returns the event of a channel, or of a user with one event; undefined for a roaming user. */
export function ownerOf(id: string): string | undefined {
  return /^(.*-e\d+)\./.exec(id)?.[1];
}

/** The ids in a text of channels. */
export function channelsIn(text: string): string[] {
  return text === "" ? [] : text.split(",");
}
