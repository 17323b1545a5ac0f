import { randomBytes } from "node:crypto";
import { DEFAULT_EVENT_LIMITS, type EventLimits } from "../../../domain/eventLimits.js";
import { attempt } from "../connection/connections.js";
import type { CommandConnection } from "../connection/openConnection.js";
import { EVENTS, eventKeys, type Layout, layouts, NEW_EVENTS, PAUSES, speakerKey, stateAffixes } from "../keys.js";
import { contended, MAX_ATTEMPTS } from "./contention.js";
import { createScriptRunner, type RunScript, type ScriptName, type ScriptObserver } from "./scripts.js";

export interface EventScriptOptions {
  /** Default: legacy. */
  layout?: Layout;
  /** Where each event has its own account of whose channels are: adds those of which it has not heard. */
  learn?: ((eventId: string, channelIds: readonly string[], claim: "each" | "all") => Promise<void>) | undefined;
  /** Whether routers write the floor to Redis themselves. */
  legacyRouters: boolean;
  /** Default: {@link DEFAULT_EVENT_LIMITS}. */
  limits?: EventLimits;
  /** The newest ticket that this process knows of: those that scripts take are above it. */
  newestTicket: () => number;
  /** Where failures are counted. */
  observeScript: ScriptObserver;
}

/** A script that names channels. */
interface ChannelScript {
  channelIds: readonly string[];
  args: readonly (string | number)[];
  /**
   * What becomes of channels of which the event has not heard, if they belong to none: `each` is claimed for it, or `all`
   * unless one belongs to another. Default: each.
   */
  claim?: "each" | "all";
  /** The one to write at, where it was not to be taken by the script itself. */
  ticket?: number | undefined;
}

/** What every script of an event is given. */
interface Frame {
  eventKeys: readonly string[];
  /** JSON of what does not vary, without the closing brace. */
  context: string;
}

/** Events whose frames are kept: making one costs as much as all the rest of a call that replicas do themselves. */
const MAX_FRAMES = 10_000;

// Names that nobody else gives: one random part for this process, which the random source need not be asked for again.
const processName = randomBytes(9).toString("base64url");
let names = 0;

function newName(): string {
  return `${processName}${(names++).toString(36)}`;
}

/** Runs the scripts of one event: brings its keys and the context that `lua/shared/base.lua` names. */
export class EventScripts {
  readonly layout: Layout;
  readonly limits: EventLimits;
  readonly #commands: CommandConnection;
  readonly #run: RunScript;
  readonly #options: EventScriptOptions;
  // Events known to be in the fleet's list, so that not every call need say so.
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

  /** True if whose channels are is decided elsewhere than where the scripts read it. */
  get ownersApart(): boolean {
    return this.#options.learn !== undefined;
  }

  /** The same scripts on another connection. */
  on(connection: CommandConnection): EventScripts {
    return new EventScripts(connection, this.#options);
  }

  /**
   * Runs a script with the event's keys before `keys` and the context before `args`.
   *
   * @param ticket the one to write at, where it was not to be taken by the script itself
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

  /** Runs a script whose keys are those of some channels, see `channelKeys`. */
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

  /** The keys of some channels: whose channels are, then the speaker of each. */
  channelKeys(eventId: string, channelIds: readonly string[]): string[] {
    const speakers = channelIds.map((channelId) => speakerKey(this.layout, eventId, channelId));
    return [this.layout.owners(eventId), ...speakers];
  }

  /** Sees to it that the event is in the fleet's list, before it is written. */
  async register(eventId: string): Promise<void> {
    if (this.#registered.has(eventId)) return;
    const isNew = (await attempt(this.#commands.sadd(EVENTS, eventId))) === 1;
    this.#registered.add(eventId);
    if (!isNew) this.#begun.add(eventId);
  }

  /** An event has begun an epoch. True if it had one before, as far as is known here. */
  noteEpoch(eventId: string): boolean {
    const hadOne = this.#begun.has(eventId);
    this.#begun.add(eventId);
    return hadOne;
  }

  /**
   * Puts an event into the list that was found to be new: where the store was emptied, its list was emptied as well.
   */
  registerAgain(eventId: string): Promise<void> {
    this.#registered.delete(eventId);
    return this.register(eventId);
  }

  /** Forgets what is known to be in the list: news of it may have been missed. */
  forgetRegistered(): void {
    this.#registered.clear();
  }
}
