import { randomBytes } from "node:crypto";
import { DEFAULT_EVENT_LIMITS, type EventLimits } from "../../../domain/eventLimits.js";
import { attempt } from "../connection/connections.js";
import type { CommandConnection } from "../connection/openConnection.js";
import { EVENTS, eventKeys, type Layout, layouts, NEW_EVENTS, PAUSES, speakerKey, stateAffixes } from "../keys.js";
import { contended, MAX_ATTEMPTS } from "./contention.js";
import { mayBeDamage, type NewEpochReason } from "./damage.js";
import { createScriptRunner, type RunScript, type ScriptName, type ScriptObserver } from "./scripts.js";

export interface EventScriptOptions {
  /** The naming scheme of the keys. Default: legacy. */
  layout?: Layout;
  /** Adds the owners of channels to the event's own hash of owners, in the layout where each event has one. */
  learn?: ((eventId: string, channelIds: readonly string[], claim: "each" | "all") => Promise<void>) | undefined;
  /** True if routers write the floor to Redis themselves. */
  legacyRouters: boolean;
  /** The limits of each event. Default: {@link DEFAULT_EVENT_LIMITS}. */
  limits?: EventLimits;
  /** Returns the newest ticket that this process knows: tickets that scripts take are above it. */
  newestTicket: () => number;
  /** Receives each run of a script. */
  observeScript: ScriptObserver;
  /**
   * Receives each new epoch that a script of this process has begun, except the first of an event.
   *
   * @param deleted the deleted keys and values
   */
  observeNewEpoch?: (eventId: string, reason: NewEpochReason, deleted: readonly string[]) => void;
}

/** The channels and arguments of a script that takes channels. */
interface ChannelScript {
  channelIds: readonly string[];
  args: readonly (string | number)[];
  /**
   * How to handle channels without a known owner that belong to no event: `each` one is claimed for this event, or
   * `all` unless one of them belongs to another event. Default: each.
   */
  claim?: "each" | "all";
  /** The ticket to write at; undefined: the script takes one. */
  ticket?: number | undefined;
}

/** The keys and the context that every script of an event gets. */
interface Frame {
  eventKeys: readonly string[];
  /** The part of the context that does not vary. */
  context: readonly (string | number)[];
}

/** The number of events with a stored frame. Building a frame costs as much as the rest of a call in this process. */
const MAX_FRAMES = 10_000;
/** The shortest time between two mends of an event if the first found no damage, ms. A mend reads the whole event. */
const USELESS_MEND_PAUSE_MS = 10_000;
/** The first item of an answer if the script has begun a new epoch, see `answer` in `lua/shared/log.lua`. */
const NEW_EPOCH = "squelch:newEpoch";

// Names of epochs: one random part for each process, and a number.
const processName = randomBytes(9).toString("base64url");
let names = 0;

function newName(): string {
  return `${processName}${(names++).toString(36)}`;
}

/** Returns the context of the scripts of an event, in the order in which `lua/shared/base.lua` documents and reads it. */
export function contextOf(
  eventId: string,
  layout: Layout,
  { maxUsersPerEvent, maxChannelsPerUser, logLength }: EventLimits,
  legacyRouters: boolean,
  ownersApart: boolean,
): Record<string, string | number> {
  const { leases, queue, disconnected, bans, changes, floor } = eventKeys(eventId);
  const { speakerPrefix, speakerSuffix } = layout.speakerAffixes(eventId);
  const { banned, banPrefix, banNews } = layout.bans(eventId);
  return {
    event: eventId,
    leases,
    queue,
    disconnected,
    bans,
    owners: layout.owners(eventId),
    changes,
    floor,
    newEvents: NEW_EVENTS,
    pauses: PAUSES,
    tickets: layout.tickets ?? "",
    maxUsersPerEvent,
    maxChannelsPerUser,
    logLength,
    legacyRouters: legacyRouters ? 1 : 0,
    ownersApart: ownersApart ? 1 : 0,
    statePrefix: stateAffixes.statePrefix,
    stateSuffix: stateAffixes.stateSuffix,
    speakerPrefix,
    speakerSuffix,
    banned,
    banPrefix,
    banNews,
  };
}

/** Runs the scripts of events, with the keys and the context that `lua/shared/base.lua` documents. */
export class EventScripts {
  readonly layout: Layout;
  readonly limits: EventLimits;
  readonly #commands: CommandConnection;
  readonly #run: RunScript;
  readonly #options: EventScriptOptions;
  // Events that are known to be in the fleet's list, so that not every call has to add them.
  readonly #registered = new Set<string>();
  readonly #begun = new Set<string>();
  readonly #frames = new Map<string, Frame>();
  // The earliest time of the next mend of each event, by `performance.now()`.
  readonly #notMendedUntilMs = new Map<string, number>();

  constructor(connection: CommandConnection, options: EventScriptOptions) {
    this.layout = options.layout ?? layouts.legacy;
    this.limits = options.limits ?? DEFAULT_EVENT_LIMITS;
    this.#commands = connection;
    this.#run = createScriptRunner(connection, options.observeScript);
    this.#options = options;
  }

  /** True if channel ownership is decided in another slot than the one that the scripts can read. */
  get ownersApart(): boolean {
    return this.#options.learn !== undefined;
  }

  /** Returns an `EventScripts` with the same options on another connection. */
  on(connection: CommandConnection): EventScripts {
    return new EventScripts(connection, this.#options);
  }

  /**
   * Runs a script with the event's keys before `keys` and the context before `args`. If it fails on damaged keys of the
   * event, mends them and runs it once more.
   *
   * @param ticket the ticket to write at; undefined: the script takes one
   */
  runFor(
    eventId: string,
    name: ScriptName,
    keys: readonly string[] = [],
    args: readonly (string | number)[] = [],
    ticket?: number,
  ): Promise<unknown> {
    return this.mending(eventId, async () => {
      const answer = await this.#runOnce(eventId, name, keys, args, ticket);
      if (!Array.isArray(answer) || answer[0] !== NEW_EPOCH) return answer;
      this.#options.observeNewEpoch?.(eventId, answer[1], []);
      return answer[2] ?? null;
    });
  }

  /**
   * Runs a step that reads or writes keys of an event, and parses the result. If it fails on damaged keys, mends
   * the event and runs the step once more: keys of the wrong type and unreadable values are deleted, and watchers get a
   * snapshot in a new epoch.
   */
  async mending<T>(eventId: string, step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      const notUntilMs = this.#notMendedUntilMs.get(eventId) ?? 0;
      if (!mayBeDamage(error) || performance.now() < notUntilMs) throw error;
      const isMended = await this.#mend(eventId);
      try {
        return await step();
      } catch (again) {
        if (!isMended && mayBeDamage(again)) {
          if (this.#notMendedUntilMs.size >= MAX_FRAMES) this.#notMendedUntilMs.clear();
          this.#notMendedUntilMs.set(eventId, performance.now() + USELESS_MEND_PAUSE_MS);
        }
        throw again;
      }
    }
  }

  async #mend(eventId: string): Promise<boolean> {
    const answer = await this.#runOnce(eventId, "mend-event", [], []);
    if (!Array.isArray(answer) || answer[0] !== NEW_EPOCH) return false;
    this.#options.observeNewEpoch?.(eventId, answer[1], answer[2]);
    return true;
  }

  #runOnce(
    eventId: string,
    name: ScriptName,
    keys: readonly string[],
    args: readonly (string | number)[],
    ticket?: number,
  ): Promise<unknown> {
    const { eventKeys: own, context: lasting } = this.#frameOf(eventId);
    const varying = [this.#options.newestTicket(), ticket ?? ""];
    return this.#run(name, [...own, ...keys], [newName(), ...args, ...lasting, ...varying]);
  }

  #frameOf(eventId: string): Frame {
    const known = this.#frames.get(eventId);
    if (known !== undefined) return known;
    const own = eventKeys(eventId);
    const { meta, log, members, pause, channels } = own;
    const frame = {
      eventKeys: [meta, log, members, pause, channels, this.layout.generation(eventId)],
      context: Object.values(
        contextOf(eventId, this.layout, this.limits, this.#options.legacyRouters, this.ownersApart),
      ),
    };
    if (this.#frames.size >= MAX_FRAMES) this.#frames.clear();
    this.#frames.set(eventId, frame);
    return frame;
  }

  /** Runs a script that takes the keys of some channels, see `channelKeys`. */
  async runForChannels(eventId: string, name: ScriptName, script: ChannelScript): Promise<unknown> {
    const { channelIds, args, claim = "each", ticket } = script;
    for (let tries = 0; tries < MAX_ATTEMPTS; tries++) {
      const result = await this.runFor(eventId, name, this.channelKeys(eventId, channelIds), args, ticket);
      const [status, ...unknown] = Array.isArray(result) ? (result as unknown[]) : [];
      if (status !== "unknown") return result;
      await this.#options.learn?.(eventId, unknown as string[], claim);
    }
    throw contended(`event "${eventId}"`);
  }

  /** Returns the keys of some channels: the hash of owners, then the speaker key of each channel. */
  channelKeys(eventId: string, channelIds: readonly string[]): string[] {
    const speakers = channelIds.map((channelId) => speakerKey(this.layout, eventId, channelId));
    return [this.layout.owners(eventId), ...speakers];
  }

  /** Adds the event to the fleet's list, if it may not be in it. To be called before the event is written. */
  async register(eventId: string): Promise<void> {
    if (this.#registered.has(eventId)) return;
    const isNew = (await attempt(this.#commands.sadd(EVENTS, eventId))) === 1;
    this.#registered.add(eventId);
    if (!isNew) this.#begun.add(eventId);
  }

  /** Notes that an event has begun an epoch. Returns true if this process knows that it had one before. */
  noteEpoch(eventId: string): boolean {
    const hadOne = this.#begun.has(eventId);
    this.#begun.add(eventId);
    return hadOne;
  }

  /** Adds an event that has begun an epoch to the fleet's list again: an emptied store has lost its list, too. */
  registerAgain(eventId: string): Promise<void> {
    this.#registered.delete(eventId);
    return this.register(eventId);
  }

  /** Forgets which events are in the list: this process may have missed messages about it. */
  forgetRegistered(): void {
    this.#registered.clear();
  }
}
