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
import { mayBeDamage } from "../scripts/damage.js";
import type { EventScripts } from "../scripts/eventScripts.js";
import { parseJson } from "../scripts/scripts.js";
import { parseLogEntry, parsePublishedEntries } from "./logEntry.js";

/** A member in the format that `lua/shared/membership.lua` writes. */
export interface StoredMember {
  /** The channels. */
  c: string[];
  /** The position of the newest write, `<generation>-<count>`. */
  p: string;
  /** The revision of the newest change. */
  r: number;
  /** The epoch of the revision `r`. */
  e: string;
  /** 1 if the newest write came over RPC and named the user. */
  o?: 1;
  /** 1 if a reconcile has found the control plane's key of the user. */
  k?: 1;
  /** Digest of the control plane's key of the user, if the key was older than the newest write. */
  d?: string;
}

/** Parses a stored member. Its revision is 0 if it belongs to another epoch. */
export function parseMember(userId: string, json: string, epoch: string): Membership {
  const { c, r, e } = JSON.parse(json) as StoredMember;
  return { userId, channelIds: c, revision: e === epoch ? r : 0 };
}

/** What `load-event` answers: see there. */
type LoadAnswer = [
  epoch: string,
  revision: number,
  pause: string | null,
  members: string[],
  disconnections: string[],
  newestTimeMs?: string,
];

function parseEventState([epoch, revision, pause, members, disconnections, time]: LoadAnswer): EventState {
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
  const newestTimeMs = time === undefined ? undefined : Number(time);
  return { epoch, revision, newestTimeMs, pause: parseJson(pause), members: [...memberships.values()] };
}

/** {@link LogStore} on Redis. */
export function createLogStore(commands: CommandConnection, scripts: EventScripts, subscriber: Subscriber): LogStore {
  async function readPosition(eventId: string): Promise<LogPosition | undefined> {
    const [epoch, revision] = await scripts.mending(eventId, () =>
      attempt(commands.hmget(eventKeys(eventId).meta, "epoch", "revision")),
    );
    return epoch ? { epoch, revision: Number(revision) } : undefined;
  }

  type Row = [id: string, fields: string[]];

  // Another program may have written the key: then the log has nothing, and loading the event mends it.
  async function readRows(rows: Promise<Row[]>): Promise<LogEntry[]> {
    try {
      return (await attempt(rows)).map(([, fields]) => parseLogEntry(fields[1] as string));
    } catch (error) {
      if (mayBeDamage(error)) return [];
      throw error;
    }
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
      return scripts.mending(eventId, async () =>
        parseEventState((await scripts.runFor(eventId, "load-event")) as LoadAnswer),
      );
    },

    async readLog(eventId, after, limit): Promise<LogEntry[] | undefined> {
      const position = await readPosition(eventId);
      if (position?.epoch !== after.epoch || !(position.revision >= after.revision)) return undefined;
      if (position.revision === after.revision) return [];
      const first = after.revision + 1;
      // Entries behind the position do not count: a script may have failed after it had appended them.
      const last = Math.min(position.revision, after.revision + limit);
      const { log } = eventKeys(eventId);
      const entries = await readRows(commands.xrange(log, `${first}-0`, `${last}-0`, "COUNT", limit));
      const count = entries.findIndex(({ epoch, revision }, i) => epoch !== after.epoch || revision !== first + i);
      const contiguous = count < 0 ? entries : entries.slice(0, count);
      return contiguous.length > 0 ? contiguous : undefined;
    },

    async readLogBack(eventId, last, limit): Promise<LogEntry[] | undefined> {
      const position = await readPosition(eventId);
      if (position?.epoch !== last.epoch) return undefined;
      if (!(position.revision >= last.revision)) return [];
      const { log } = eventKeys(eventId);
      const entries = await readRows(commands.xrevrange(log, `${last.revision}-0`, "-", "COUNT", limit));
      const count = entries.findIndex(
        ({ epoch, revision }, i) => epoch !== last.epoch || revision !== last.revision - i,
      );
      return (count < 0 ? entries : entries.slice(0, count)).reverse();
    },

    async renewEpoch(eventId, { epoch, revision, timeMs }) {
      await scripts.runFor(eventId, "renew-epoch", [], [epoch, revision, timeMs ?? ""]);
    },

    follow(eventId, listener): Promise<Unsubscribe> {
      return subscriber.subscribe(eventKeys(eventId).changes, (message) => {
        for (const entry of parsePublishedEntries(message.toString())) listener(entry);
      });
    },
  };
}
