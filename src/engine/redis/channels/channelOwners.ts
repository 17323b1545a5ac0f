import { randomBytes } from "node:crypto";
import { attempt } from "../connection/connections.js";
import type { CommandConnection } from "../connection/openConnection.js";
import { CHANNEL_EVENTS, CHANNEL_MOVES, layouts } from "../keys.js";
import type { RunScript } from "../scripts/scripts.js";

/** A channel move that has not reached the event that the channel leaves. */
export interface UnfinishedMove {
  channelId: string;
  from: string;
  /** Identifies this move; no other move has the same token. */
  token: string;
}

/**
 * Stores which event owns each channel in the Cluster layout. There `channel:events` lives in another slot than the
 * events. It decides the owner. Each event has a copy of the owners that its scripts read.
 */
export class ChannelOwners {
  readonly #commands: CommandConnection;
  readonly #run: RunScript;

  constructor(commands: CommandConnection, run: RunScript) {
    this.#commands = commands;
    this.#run = run;
  }

  /** Reads the owning events of channels, in the order of the channels. Null means that no event owns the channel. */
  read(channelIds: readonly string[]): Promise<(string | null)[]> {
    return attempt(this.#commands.hmget(CHANNEL_EVENTS, ...channelIds));
  }

  /**
   * Assigns channels that no event owns to an event. With `all`, it assigns them only if no channel belongs to another
   * event. Returns the owner of each channel, empty where none is set.
   */
  async claim(eventId: string, channelIds: readonly string[], claim: "each" | "all"): Promise<string[]> {
    return (await this.#run("claim-channels", [CHANNEL_EVENTS], [eventId, claim, ...channelIds])) as string[];
  }

  /**
   * Assigns a channel to an event. Returns false if the channel no longer belongs to `from`, or if an earlier move of
   * it is unfinished.
   */
  async move(channelId: string, from: string | null, to: string): Promise<boolean> {
    const token = `${randomBytes(9).toString("base64url")} ${from ?? ""}`;
    const args = [channelId, from ?? "", to, token];
    return (await this.#run("move-channel", [CHANNEL_EVENTS, CHANNEL_MOVES], args)) === 1;
  }

  /** Reads the moves of these channels that are unfinished. */
  async readUnfinished(channelIds: readonly string[]): Promise<UnfinishedMove[]> {
    const tokens = await attempt(this.#commands.hmget(CHANNEL_MOVES, ...channelIds));
    return channelIds.flatMap((channelId, index) => {
      const token = tokens[index];
      return token ? [{ channelId, token, from: token.slice(token.indexOf(" ") + 1) }] : [];
    });
  }

  /** Marks a move as finished: the event that the channel left has recorded it. */
  async finish({ channelId, token }: UnfinishedMove): Promise<void> {
    await this.#run("finish-move", [CHANNEL_MOVES], [channelId, token]);
  }

  /**
   * Stores the owners of channels for an event, except where an owner is already stored: an owner that was read before
   * a move must not overwrite the move.
   */
  async note(eventId: string, owners: readonly (readonly [channelId: string, owner: string])[]): Promise<void> {
    await this.#run("note-owners", [layouts.cluster.owners(eventId)], owners.flat());
  }

  /** Stores for an event that it owns these channels, and overwrites what was stored before. */
  async set(eventId: string, channelIds: readonly string[]): Promise<void> {
    const pairs = channelIds.flatMap((channelId) => [channelId, eventId]);
    await attempt(this.#commands.hset(layouts.cluster.owners(eventId), ...pairs));
  }
}
