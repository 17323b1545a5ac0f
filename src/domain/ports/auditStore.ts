import type { AuditEntry, AuditQuery, AuditRecord } from "../audit.js";

/** The audit trail: the record of who did what. It keeps a bounded number of entries and drops the oldest first. */
export interface AuditStore {
  /** Appends one or more records in their order. */
  appendAudit(records: readonly AuditRecord[]): Promise<void>;
  /** Returns matching entries, the newest first. */
  listAudit(query: AuditQuery): Promise<AuditEntry[]>;
}
