import { randomBytes } from "node:crypto";
import type { Redis } from "ioredis";
import { attempt } from "./connections.js";
import { channelAffixes, EVENTS, eventKeys, INGEST, INGEST_GENERATION, NEW_EVENTS } from "./keys.js";
import { createScriptRunner, type RunScript, type ScriptErrors, type ScriptName } from "./scripts.js";

/** About how many entries the log of an event keeps. */
const LOG_LENGTH = 10_000;

export interface EventScriptOptions {
  /** Whether routers write the floor to Redis themselves. */
  legacyRouters: boolean;
  /** The newest ticket that this process knows of: those that scripts take are above it. */
  newestTicket: () => number;
  /** Where failures are counted. */
  errors: ScriptErrors;
}

/** Runs the scripts of one event: brings its keys and the context that `lua/shared/base.lua` names. */
export class EventScripts {
  readonly #commands: Redis;
  readonly #run: RunScript;
  readonly #options: EventScriptOptions;
  // Events known to be in the fleet's list, so that not every call need say so.
  readonly #registered = new Set<string>();

  constructor(connection: Redis, options: EventScriptOptions) {
    this.#commands = connection;
    this.#run = createScriptRunner(connection, options.errors);
    this.#options = options;
  }

  /** The same scripts on another connection. */
  on(connection: Redis): EventScripts {
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
    const { meta, log, members, pause, channels, changes } = eventKeys(eventId);
    const context = JSON.stringify({
      event: eventId,
      newEpoch: randomBytes(9).toString("base64url"),
      changes,
      tickets: INGEST,
      newEvents: NEW_EVENTS,
      logLength: LOG_LENGTH,
      legacyRouters: this.#options.legacyRouters,
      newestTicket: this.#options.newestTicket(),
      ticket,
      ...channelAffixes,
    });
    return this.#run(name, [meta, log, members, pause, channels, INGEST_GENERATION, ...keys], [context, ...args]);
  }

  /** Sees to it that the event is in the fleet's list, before it is written. */
  async register(eventId: string): Promise<void> {
    if (this.#registered.has(eventId)) return;
    await attempt(this.#commands.sadd(EVENTS, eventId));
    this.#registered.add(eventId);
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
