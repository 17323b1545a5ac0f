import type { LogEntry } from "../../../domain/change.js";
import type { LogPosition } from "../../../domain/cursor.js";
import type { Membership } from "../../../domain/membership.js";
import type { EventState, LogStore } from "../../../domain/ports/logStore.js";
import type { Unsubscribe } from "../../../domain/ports/unsubscribe.js";
import { SharedTexts } from "../../../lib/sharedTexts.js";
import { attempt } from "../connection/connections.js";
import type { CommandConnection } from "../connection/openConnection.js";
import type { Subscriber } from "../connection/subscriber.js";
import { EVENTS, eventKeys, NEW_EVENTS } from "../keys.js";
import type { EventScripts } from "../scripts/eventScripts.js";
import { parseJson } from "../scripts/scripts.js";
import { parseLogEntry, parsePublishedEntries } from "./logEntry.js";

/** A member as `lua/shared/membership.lua` writes it. */
export interface StoredMember {
  c: string[];
  /** The position of the newest write, `<generation>-<count>`. */
  p: string;
  r: number;
  /** The epoch of `r`. */
  e: string;
  /** Last written over RPC, by name. */
  o?: 1;
  /** A reconcile has found the control plane's key. */
  k?: 1;
}

export function parseMember(userId: string, json: string, epoch: string): Membership {
  const { c, r, e } = JSON.parse(json) as StoredMember;
  return { userId, channelIds: c, revision: e === epoch ? r : 0 };
}

/** {@link LogStore} on Redis. */
export function createLogStore(commands: CommandConnection, scripts: EventScripts, subscriber: Subscriber): LogStore {
  async function readPosition(eventId: string): Promise<LogPosition | undefined> {
    const [epoch, revision] = await attempt(commands.hmget(eventKeys(eventId).meta, "epoch", "revision"));
    return epoch ? { epoch, revision: Number(revision) } : undefined;
  }

  return {
    readPosition,

    async listEvents() {
      return attempt(commands.smembers(EVENTS));
    },

    followEvents(listener): Promise<Unsubscribe> {
      return subscriber.subscribe(NEW_EVENTS, (message) => listener(message.toString()));
    },

    async loadEvent(eventId): Promise<EventState> {
      await scripts.register(eventId);
      const [epoch, revision, pause, members, disconnections] = (await scripts.runFor(eventId, "load-event")) as [
        string,
        number,
        string | null,
        string[],
        string[],
      ];
      const memberships = new Map<string, Membership>();
      // Shared as they are parsed, so that loading does not take the memory of a string for each.
      const texts = new SharedTexts();
      for (let index = 0; index < members.length; index += 2) {
        const membership = parseMember(members[index] as string, members[index + 1] as string, epoch);
        memberships.set(membership.userId, {
          ...membership,
          channelIds: membership.channelIds.map((channelId) => texts.share(channelId)),
        });
      }
      for (let index = 0; index < disconnections.length; index += 2) {
        const userId = disconnections[index] as string;
        const membership = memberships.get(userId) ?? { userId, channelIds: [], revision: 0 };
        memberships.set(userId, { ...membership, disconnectedAtMs: Number(disconnections[index + 1]) });
      }
      return { epoch, revision, pause: parseJson(pause), members: [...memberships.values()] };
    },

    async readLog(eventId, after, limit): Promise<LogEntry[] | undefined> {
      const position = await readPosition(eventId);
      if (position?.epoch !== after.epoch || position.revision < after.revision) return undefined;
      if (position.revision === after.revision) return [];
      const first = after.revision + 1;
      const rows = await attempt(commands.xrange(eventKeys(eventId).log, `${first}-0`, "+", "COUNT", limit));
      const entries = rows.map(([, fields]) => parseLogEntry(fields[1] as string));
      const reachesBack = entries[0]?.revision === first;
      return reachesBack && entries.every((entry) => entry.epoch === after.epoch) ? entries : undefined;
    },

    follow(eventId, listener): Promise<Unsubscribe> {
      return subscriber.subscribe(eventKeys(eventId).changes, (message) => {
        for (const entry of parsePublishedEntries(message.toString())) listener(entry);
      });
    },
  };
}
