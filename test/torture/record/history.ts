import type { Position } from "../../../src/domain/cursor.js";
import type { CpuWait } from "../fleet/cpuWaits.js";

/** The path of a write. */
export type Path = "published" | "rpc" | "sync";

/**
 * One attempt of a control plane to write. A retry is a separate write with other channels. Except for empty ones, no
 * two writes of an event have the same channels, so each can be recognised everywhere.
 */
export interface Write {
  /** The id is in the log, as the actor or the action. */
  id: string;
  path: Path;
  eventId: string;
  /** The channels of each user. A sync revokes all other users. */
  channelsOf: ReadonlyMap<string, string>;
  /** The time of the answer; undefined if there was none yet. */
  answer?: Answer;
}

/** The answer that the caller received. */
export type Answer =
  | { ok: true; at: number; revision: number; isChange: boolean }
  /** The name of a gRPC status or of an error. */
  | { ok: false; at: number; code: string };

/** A change of a membership in a log. Channels are ascending and joined by commas. */
export interface Entry {
  eventId: string;
  epoch: string;
  revision: number;
  userId: string;
  channels: string;
  /** The id of the write that caused it; undefined for a reconcile. */
  writeId: string | undefined;
  actor: string;
}

/** A message or log entry that passed through Redis, in Redis's own order. */
export type WitnessRecord =
  /** A message of a control plane. */
  | { kind: "published"; at: number; writeId: string }
  | { kind: "entry"; at: number; entry: Entry }
  /** Redis has gone back to its state after the first `backTo` records. If that is not certain, it may also have kept later ones. */
  | { kind: "lost"; at: number; backTo: number; isCertain: boolean };

/** The end of a log. */
export interface Cursor {
  eventId: string;
  epoch: string;
  revision: number;
}

/** The messages that one router received, with their times. */
export type RouterRecord =
  | { kind: "opened"; at: number; cursors: Cursor[] }
  | ({ kind: "snapshot"; at: number; reason: string; chunkIndex: number; isComplete: boolean } & Cursor & {
        users: [userId: string, channels: string][];
      })
  | { kind: "changes"; at: number; eventId: string; epoch: string; entries: Entry[] }
  | { kind: "checkpoint"; at: number; isHealthy: boolean; cursors: Cursor[] }
  | { kind: "ended"; at: number; code: string };

/** A party in trouble, from the fault to the recovery. */
export interface Trouble {
  /** The name of a replica or a router. */
  party: string;
  fault: string;
  /** True if the party may miss published messages. */
  isDeaf: boolean;
  from: number;
  to: number;
}

/** A party that did not recover from a trouble in time. */
export interface Stranding {
  party: string;
  at: number;
}

/** A period in which no party could reach Redis. */
export interface Outage {
  from: number;
  to: number;
  /** The time by which each replica must have noticed. */
  noticedBy: number;
}

/** Redis answered commands of replicas with errors. */
export interface Refusal {
  fault: string;
  /** The time from which on commands were rejected. */
  from: number;
  /** When the cause began to cease. */
  heldUntil: number;
  /** When the cause had ceased. */
  ceasedAt: number;
  /** From then on no command was refused: from the beginning, if clients need only connect anew. */
  to: number;
  /** The replicas whose commands were rejected. */
  replicas: readonly string[];
  /** True if each of their writes was rejected. */
  isTotal: boolean;
}

/** The readiness that a replica reported. */
export interface ReadinessRecord {
  replica: string;
  at: number;
  /** This is also false if the replica did not answer. */
  isReady: boolean;
}

/** The state of an event in the store. */
export interface StoredEvent extends Omit<Cursor, "eventId"> {
  members: Map<string, { channels: string; position: Position }>;
  /** The entries of the epoch that the log still has. */
  log: Entry[];
}

/** A moment when no work was in progress, the faults had ended and all connections were restored. */
export interface Rest {
  at: number;
  /** When the last connection was restored, or the last change was made if that was later. */
  standingAt: number;
  /** The number of records of the witness at that time. */
  witnessed: number;
  store: Map<string, StoredEvent>;
  /** The control plane's sets. */
  keys: Map<string, string>;
  /** The channels of each user of each event, in the view of each router's client. */
  mirrors: Map<string, Map<string, Map<string, string | undefined>>>;
}

/** The complete record of one fleet. Times are those of `performance.now()` in the recording process. */
export interface History {
  /** The names of all replicas. */
  replicas: readonly string[];
  writes: Map<string, Write>;
  witnessed: WitnessRecord[];
  routers: Map<string, RouterRecord[]>;
  troubles: Trouble[];
  strandings: Stranding[];
  outages: Outage[];
  refusals: Refusal[];
  readiness: readonly ReadinessRecord[];
  rests: Rest[];
  cpuWaits: readonly CpuWait[];
}

/** Channels in the form of histories. */
export function textOf(channelIds: readonly string[]): string {
  return [...channelIds].sort().join();
}
