import type { AuditEntry } from "../../domain/audit.js";
import type { AuditStore } from "../../domain/ports/auditStore.js";

/** @param length how many entries are kept */
export function createAuditStore(length: number): AuditStore {
  const entries: AuditEntry[] = [];
  let count = 0;
  const orderOf = (entryId: string) => Number(entryId);
  return {
    async appendAudit(records) {
      for (const record of records) entries.push({ ...record, entryId: String(++count) });
      entries.splice(0, entries.length - length);
    },

    async listAudit({ eventIds, before, limit }) {
      const wanted = eventIds && new Set(eventIds);
      return entries
        .filter(({ eventId, entryId }) => {
          const isOlder = before === undefined || orderOf(entryId) < orderOf(before);
          return isOlder && (wanted?.has(eventId) ?? true);
        })
        .slice(-limit)
        .reverse();
    },
  };
}
