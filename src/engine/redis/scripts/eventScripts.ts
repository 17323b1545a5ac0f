import { randomBytes } from "node:crypto";
import { DEFAULT_EVENT_LIMITS, type EventLimits } from "../../../domain/eventLimits.js";
import { attempt } from "../connection/connections.js";
import type { CommandConnection } from "../connection/openConnection.js";
import { EVENTS, eventKeys, type Layout, layouts, NEW_EVENTS, PAUSES, speakerKey, stateAffixes } from "../keys.js";
import { contended, MAX_ATTEMPTS } from "./contention.js";
import { createScriptRunner, type RunScript, type ScriptName, type ScriptObserver } from "./scripts.js";

export interface EventScriptOptions {
  /** The naming scheme of the keys. Default: legacy. */
  layout?: Layout;
  /**
   * Stores the owners of channels that the event's scripts do not know. Only set if each event stores its own copy of
   * the owners.
   */
  learn?: ((eventId: string, channelIds: readonly string[], claim: "each" | "all") => Promise<void>) | undefined;
  /** True if routers write the floor to Redis themselves. */
  legacyRouters: boolean;
  /** The limits of each event. Default: {@link DEFAULT_EVENT_LIMITS}. */
  limits?: EventLimits;
  /** Returns the newest ticket that this process knows of. Tickets that scripts take are higher. */
  newestTicket: () => number;
  /** Receives each run of a script, to count failures. */
  observeScript: ScriptObserver;
}

/** The channels and arguments of a script that takes channels. */
interface ChannelScript {
  channelIds: readonly string[];
  args: readonly (string | number)[];
  /**
   * Decides about channels that no event owns and that the event's scripts do not know: `each` assigns each of them to
   * the event; `all` does so only if no channel belongs to another event. Default: each.
   */
  claim?: "each" | "all";
  /** The ticket to write at, if the script must not take one itself. */
  ticket?: number | undefined;
}

/** The keys and context that every script of an event receives. */
interface Frame {
  eventKeys: readonly string[];
  /** JSON of the constant part of the context, without the closing brace. */
  context: string;
}

/**
 * The most events whose frames are cached. Creating a frame costs a replica as much as the rest of its own work for a
 * call.
 */
const MAX_FRAMES = 10_000;

// Unique names: one random part per process and a counter, so that not every name needs the random source.
const processName = randomBytes(9).toString("base64url");
let names = 0;

function newName(): string {
  return `${processName}${(names++).toString(36)}`;
}

/** Runs the scripts of one event with the event's keys and with the context that `lua/shared/base.lua` describes. */
export class EventScripts {
  readonly layout: Layout;
  readonly limits: EventLimits;
  readonly #commands: CommandConnection;
  readonly #run: RunScript;
  readonly #options: EventScriptOptions;
  // Events that are known to be in the list of events, so that not every call has to add them.
  readonly #registered = new Set<string>();
  readonly #begun = new Set<string>();
  readonly #frames = new Map<string, Frame>();

  constructor(connection: CommandConnection, options: EventScriptOptions) {
    this.layout = options.layout ?? layouts.legacy;
    this.limits = options.limits ?? DEFAULT_EVENT_LIMITS;
    this.#commands = connection;
    this.#run = createScriptRunner(connection, options.observeScript);
    this.#options = options;
  }

  /** True if scripts cannot read the owner of a channel in `channel:events`, because it lives in another slot. */
  get ownersApart(): boolean {
    return this.#options.learn !== undefined;
  }

  /** Returns these scripts on another connection. */
  on(connection: CommandConnection): EventScripts {
    return new EventScripts(connection, this.#options);
  }

  /**
   * Runs a script with the event's keys before `keys` and the context before `args`.
   *
   * @param ticket the ticket to write at, if the script must not take one itself
   */
  runFor(
    eventId: string,
    name: ScriptName,
    keys: readonly string[] = [],
    args: readonly (string | number)[] = [],
    ticket?: number,
  ): Promise<unknown> {
    const { eventKeys: own, context: lasting } = this.#frameOf(eventId);
    const newest = this.#options.newestTicket();
    const varying = `"newEpoch":"${newName()}","newestTicket":${newest}${ticket === undefined ? "" : `,"ticket":${ticket}`}`;
    return this.#run(name, [...own, ...keys], [`${lasting}${varying}}`, ...args]);
  }

  #frameOf(eventId: string): Frame {
    const known = this.#frames.get(eventId);
    if (known !== undefined) return known;
    const own = eventKeys(eventId);
    const { meta, log, members, pause, channels, leases, queue, disconnected, bans, changes, floor } = own;
    const context = JSON.stringify({
      event: eventId,
      leases,
      queue,
      disconnected,
      bans,
      owners: this.layout.owners(eventId),
      changes,
      floor,
      tickets: this.layout.tickets,
      newEvents: NEW_EVENTS,
      pauses: PAUSES,
      ...this.limits,
      legacyRouters: this.#options.legacyRouters,
      ownersApart: this.ownersApart,
      ...stateAffixes,
      ...this.layout.speakerAffixes(eventId),
      ...this.layout.bans(eventId),
    });
    const frame = {
      eventKeys: [meta, log, members, pause, channels, this.layout.generation(eventId)],
      context: `${context.slice(0, -1)},`,
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

  /** Lists the keys of some channels: first the hash of channel owners, then the speaker key of each channel. */
  channelKeys(eventId: string, channelIds: readonly string[]): string[] {
    const speakers = channelIds.map((channelId) => speakerKey(this.layout, eventId, channelId));
    return [this.layout.owners(eventId), ...speakers];
  }

  /** Adds the event to the list of events before the event is written. */
  async register(eventId: string): Promise<void> {
    if (this.#registered.has(eventId)) return;
    const isNew = (await attempt(this.#commands.sadd(EVENTS, eventId))) === 1;
    this.#registered.add(eventId);
    if (!isNew) this.#begun.add(eventId);
  }

  /** Records that an event has begun an epoch. Returns true if this process knows of an earlier epoch of the event. */
  noteEpoch(eventId: string): boolean {
    const hadOne = this.#begun.has(eventId);
    this.#begun.add(eventId);
    return hadOne;
  }

  /**
   * Adds an event to the list of events when the event turns out to be new. If the store was emptied, its list of
   * events was emptied too.
   */
  registerAgain(eventId: string): Promise<void> {
    this.#registered.delete(eventId);
    return this.register(eventId);
  }

  /** Forgets which events are known to be in the list, because messages about the list may have been missed. */
  forgetRegistered(): void {
    this.#registered.clear();
  }
}
