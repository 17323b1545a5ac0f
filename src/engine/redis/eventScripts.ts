import { randomBytes } from "node:crypto";
import { EVENTS, eventKeys, NEW_EVENTS, stateChannelAffixes } from "./keys.js";
import type { RunScript, ScriptName } from "./scripts.js";

/** About how many entries the log of an event keeps. */
const LOG_LENGTH = 10_000;

/** Runs the scripts of one event: brings its keys and the context that `lua/shared/log.lua` asks for. */
export class EventScripts {
  readonly run: RunScript;
  readonly #legacyRouters: boolean;
  // Events known to be in the fleet's list, so that not every call need say so.
  readonly #registered = new Set<string>();

  constructor(run: RunScript, legacyRouters: boolean) {
    this.run = run;
    this.#legacyRouters = legacyRouters;
  }

  /** The same scripts on another connection. */
  on(run: RunScript): EventScripts {
    return new EventScripts(run, this.#legacyRouters);
  }

  /** Runs a script with the event's keys before `keys` and the context before `args`. */
  runFor(
    eventId: string,
    name: ScriptName,
    keys: readonly string[] = [],
    args: readonly (string | number)[] = [],
  ): Promise<unknown> {
    const { meta, log, members, pause, channels, changes } = eventKeys(eventId);
    const context = JSON.stringify({
      event: eventId,
      newEpoch: randomBytes(9).toString("base64url"),
      changes,
      logLength: LOG_LENGTH,
      legacyRouters: this.#legacyRouters,
      ...stateChannelAffixes,
    });
    return this.run(name, [meta, log, members, pause, channels, ...keys], [context, ...args]);
  }

  /** Sees to it that the event is in the fleet's list, before it is written. */
  async register(eventId: string): Promise<void> {
    if (this.#registered.has(eventId)) return;
    await this.run("register-event", [EVENTS], [eventId, NEW_EVENTS]);
    this.#registered.add(eventId);
  }

  /** To be called with what a script says of the epoch: where the store was emptied, its list is gone as well. */
  async registerAgainIf(epochIsNew: boolean, eventId: string): Promise<void> {
    if (!epochIsNew) return;
    this.#registered.delete(eventId);
    await this.register(eventId);
  }
}
