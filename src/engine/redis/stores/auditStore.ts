import { randomUUID } from "node:crypto";
import type { AuditEntry, AuditRecord } from "../../../domain/audit.js";
import type { AuditStore } from "../../../domain/ports/auditStore.js";
import { attempt } from "../connection/connections.js";
import type { CommandConnection } from "../connection/openConnection.js";
import { AUDIT, actorAudit, FLEET_AUDIT } from "../keys.js";

/** The number of entries that one read returns while the entries of some events are searched. */
const PAGE = 1_000;
/** The most entries that a VoicePing fleet keeps in its own audit list. */
const FLEET_AUDIT_LENGTH = 10_000;
/** The most entries of one actor that are kept. */
const ACTOR_AUDIT_LENGTH = 1_000;
/** How long the list of an actor is kept after its newest entry, ms: 30 days. */
const ACTOR_AUDIT_TTL_MS = 30 * 24 * 60 * 60 * 1_000;

/** The name of each action in the audit list of a VoicePing fleet. */
const FLEET_ACTIONS: Readonly<Record<string, string>> = {
  StartPtt: "ptt.start",
  StopPtt: "ptt.stop",
  PauseAllSpeakers: "emergency_broadcast.start",
  ResumeSpeakers: "emergency_broadcast.stop",
  DisconnectUser: "force_disconnect",
  BanUser: "security.ban",
  UnbanUser: "security.unban",
};

/** Returns an actor as a VoicePing fleet names it: a user by the bare user id. */
function toActorId(actor: string): string {
  return actor.replace(/^user:/, "");
}

/** Converts a record to the format of a VoicePing fleet's audit list. */
function toFleetEntry({ timeMs, actor, action, eventId, target, outcome, callId, detail }: AuditRecord): string {
  const isRefused = outcome === "PERMISSION_DENIED" || outcome === "UNAUTHENTICATED";
  return JSON.stringify({
    id: randomUUID(),
    actorId: toActorId(actor),
    eventId: eventId || null,
    action: isRefused ? "permission.denied" : (FLEET_ACTIONS[action] ?? `squelch.${action}`),
    targetId: target || null,
    metadata: { call: action, outcome, callId, ...(detail && { detail }) },
    timestamp: timeMs,
  });
}

/**
 * {@link AuditStore} on Redis. Writes to Squelch's own stream and to the audit lists of a VoicePing fleet: one of all
 * entries, and one of each actor. Each write is a command of its own, because in a Cluster they go to different nodes.
 *
 * @param length the approximate number of entries that the stream keeps
 */
export function createAuditStore(commands: CommandConnection, length: number): AuditStore {
  // Redis may reject one of the writes. A retry must not add copies to the other lists.
  const inStream = new WeakSet<AuditRecord>();
  const inList = new WeakSet<AuditRecord>();
  const inActorList = new WeakSet<AuditRecord>();
  // An entry is the same in both lists, also after a retry.
  const entries = new WeakMap<AuditRecord, string>();

  function entryOf(record: AuditRecord): string {
    const entry = entries.get(record) ?? toFleetEntry(record);
    entries.set(record, entry);
    return entry;
  }

  async function appendToStream(record: AuditRecord): Promise<void> {
    await attempt(commands.xadd(AUDIT, "MAXLEN", "~", length, "*", "record", JSON.stringify(record)));
    inStream.add(record);
  }

  async function appendToList(records: readonly AuditRecord[]): Promise<void> {
    if (records.length === 0) return;
    await attempt(commands.lpush(FLEET_AUDIT, ...records.map(entryOf)));
    for (const record of records) inList.add(record);
    await attempt(commands.ltrim(FLEET_AUDIT, 0, FLEET_AUDIT_LENGTH - 1));
  }

  async function appendToActorList(actorId: string, records: readonly AuditRecord[]): Promise<void> {
    const key = actorAudit(actorId);
    await attempt(commands.lpush(key, ...records.map(entryOf)));
    for (const record of records) inActorList.add(record);
    await attempt(commands.ltrim(key, 0, ACTOR_AUDIT_LENGTH - 1));
    await attempt(commands.pexpire(key, ACTOR_AUDIT_TTL_MS));
  }

  function appendToActorLists(records: readonly AuditRecord[]): Promise<void>[] {
    const byActor = new Map<string, AuditRecord[]>();
    for (const record of records) {
      const actorId = toActorId(record.actor);
      byActor.set(actorId, [...(byActor.get(actorId) ?? []), record]);
    }
    return [...byActor].map(([actorId, own]) => appendToActorList(actorId, own));
  }

  return {
    async appendAudit(records) {
      const results = await Promise.allSettled([
        ...records.filter((record) => !inStream.has(record)).map(appendToStream),
        appendToList(records.filter((record) => !inList.has(record))),
        ...appendToActorLists(records.filter((record) => !inActorList.has(record))),
      ]);
      const failure = results.find((result) => result.status === "rejected");
      if (failure !== undefined) throw failure.reason;
    },

    async listAudit({ eventIds, before, limit }) {
      const wanted = eventIds && new Set(eventIds);
      const found: AuditEntry[] = [];
      let newest = before === undefined ? "+" : `(${before}`;
      while (found.length < limit) {
        const rows = await attempt(commands.xrevrange(AUDIT, newest, "-", "COUNT", wanted ? PAGE : limit));
        const entries = rows.map(([entryId, [, json]]) => ({
          entryId,
          ...(JSON.parse(json as string) as AuditRecord),
        }));
        found.push(...entries.filter(({ eventId }) => wanted?.has(eventId) ?? true));
        const oldest = rows.at(-1);
        if (oldest === undefined) break;
        newest = `(${oldest[0]}`;
      }
      return found.slice(0, limit);
    },
  };
}
