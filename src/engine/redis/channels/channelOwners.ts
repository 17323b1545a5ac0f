import { randomBytes } from "node:crypto";
import { attempt } from "../connection/connections.js";
import type { CommandConnection } from "../connection/openConnection.js";
import { CHANNEL_EVENTS, CHANNEL_MOVES, layouts } from "../keys.js";
import type { RunScript } from "../scripts/scripts.js";

/** A move of a channel of which the event that it leaves has not heard yet. */
export interface UnfinishedMove {
  channelId: string;
  from: string;
  /** Tells it apart from every other. */
  token: string;
}

/**
 * Whose channels are, where `channel:events` is in another slot than the events: `channel:events` itself, which decides,
 * and what of it is noted for each event where its scripts can read it.
 */
export class ChannelOwners {
  readonly #commands: CommandConnection;
  readonly #run: RunScript;

  constructor(commands: CommandConnection, run: RunScript) {
    this.#commands = commands;
    this.#run = run;
  }

  /** The events that channels belong to, in their order; null for none. */
  read(channelIds: readonly string[]): Promise<(string | null)[]> {
    return attempt(this.#commands.hmget(CHANNEL_EVENTS, ...channelIds));
  }

  /**
   * Claims channels that belong to nobody; with `all`, only if none of them belongs to another event. Returns the event
   * of each, empty for what stays free.
   */
  async claim(eventId: string, channelIds: readonly string[], claim: "each" | "all"): Promise<string[]> {
    return (await this.#run("claim-channels", [CHANNEL_EVENTS], [eventId, claim, ...channelIds])) as string[];
  }

  /** Gives a channel to an event. False if it does not belong to `from` any more, or a move of it is unfinished. */
  async move(channelId: string, from: string | null, to: string): Promise<boolean> {
    const token = `${randomBytes(9).toString("base64url")} ${from ?? ""}`;
    const args = [channelId, from ?? "", to, token];
    return (await this.#run("move-channel", [CHANNEL_EVENTS, CHANNEL_MOVES], args)) === 1;
  }

  /** Those moves of channels that are unfinished. */
  async readUnfinished(channelIds: readonly string[]): Promise<UnfinishedMove[]> {
    const tokens = await attempt(this.#commands.hmget(CHANNEL_MOVES, ...channelIds));
    return channelIds.flatMap((channelId, index) => {
      const token = tokens[index];
      return token ? [{ channelId, token, from: token.slice(token.indexOf(" ") + 1) }] : [];
    });
  }

  /** The event that is left knows. */
  async finish({ channelId, token }: UnfinishedMove): Promise<void> {
    await this.#run("finish-move", [CHANNEL_MOVES], [channelId, token]);
  }

  /** Notes for an event whose channels are, unless something is noted: what was read before a move must not undo it. */
  async note(eventId: string, owners: readonly (readonly [channelId: string, owner: string])[]): Promise<void> {
    await this.#run("note-owners", [layouts.cluster.owners(eventId)], owners.flat());
  }

  /** Notes for an event that channels are its own, whatever was noted before. */
  async set(eventId: string, channelIds: readonly string[]): Promise<void> {
    const pairs = channelIds.flatMap((channelId) => [channelId, eventId]);
    await attempt(this.#commands.hset(layouts.cluster.owners(eventId), ...pairs));
  }
}
