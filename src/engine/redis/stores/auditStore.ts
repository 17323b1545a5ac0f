import { randomUUID } from "node:crypto";
import type { AuditEntry, AuditRecord } from "../../../domain/audit.js";
import type { AuditStore } from "../../../domain/ports/auditStore.js";
import { attempt } from "../connection/connections.js";
import type { CommandConnection } from "../connection/openConnection.js";
import { AUDIT, FLEET_AUDIT } from "../keys.js";

/** How many entries are read at once while those of some events are looked for. */
const PAGE = 1_000;
/** How many entries a VoicePing fleet keeps in its own list. */
const FLEET_AUDIT_LENGTH = 10_000;

/** What the trail of a VoicePing fleet calls it. */
const FLEET_ACTIONS: Readonly<Record<string, string>> = {
  StartPtt: "ptt.start",
  StopPtt: "ptt.stop",
  PauseAllSpeakers: "emergency_broadcast.start",
  ResumeSpeakers: "emergency_broadcast.stop",
  DisconnectUser: "force_disconnect",
  BanUser: "security.ban",
  UnbanUser: "security.unban",
};

/** The record as the trail of a VoicePing fleet has it. */
function toFleetEntry({ timeMs, actor, action, eventId, target, outcome, callId, detail }: AuditRecord): string {
  const isRefused = outcome === "PERMISSION_DENIED" || outcome === "UNAUTHENTICATED";
  return JSON.stringify({
    id: randomUUID(),
    actorId: actor,
    eventId: eventId || null,
    action: isRefused ? "permission.denied" : (FLEET_ACTIONS[action] ?? `squelch.${action}`),
    targetId: target || null,
    metadata: { call: action, outcome, callId, ...(detail && { detail }) },
    timestamp: timeMs,
  });
}

/**
 * {@link AuditStore} on Redis: a stream of our own, and the list that a VoicePing fleet has. They are written one after
 * the other, since in a Cluster they are on different nodes.
 *
 * @param length about how many entries the stream keeps
 */
export function createAuditStore(commands: CommandConnection, length: number): AuditStore {
  // Redis may refuse one of the two: a repeat must not fill the other with copies.
  const inStream = new WeakSet<AuditRecord>();
  const inList = new WeakSet<AuditRecord>();

  async function appendToStream(record: AuditRecord): Promise<void> {
    await attempt(commands.xadd(AUDIT, "MAXLEN", "~", length, "*", "record", JSON.stringify(record)));
    inStream.add(record);
  }

  async function appendToList(records: readonly AuditRecord[]): Promise<void> {
    if (records.length === 0) return;
    await attempt(commands.lpush(FLEET_AUDIT, ...records.map(toFleetEntry)));
    for (const record of records) inList.add(record);
    await attempt(commands.ltrim(FLEET_AUDIT, 0, FLEET_AUDIT_LENGTH - 1));
  }

  return {
    async appendAudit(records) {
      const results = await Promise.allSettled([
        ...records.filter((record) => !inStream.has(record)).map(appendToStream),
        appendToList(records.filter((record) => !inList.has(record))),
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
