import type { Duration } from "@bufbuild/protobuf/wkt";
import { durationMs } from "@bufbuild/protobuf/wkt";
import {
  type Cursor as CursorMessage,
  FloorPriority as FloorPriorityMessage,
} from "../../../../gen/squelch/v1/model_pb.js";
import type { Cursor } from "../../../domain/cursor.js";
import { invalidField } from "../../../domain/errors.js";
import { type FloorPriority, RESERVED_HOLDER } from "../../../domain/floor.js";
import { parseId } from "../../../domain/id.js";
import type { WriteOutcome } from "../../../domain/ports/writeOutcome.js";
import { priorityOf } from "../../../wire/floorEnums.js";

// Turns fields of requests into values of the domain. Each function throws SquelchError `invalidArgument` that names the field.

/** Parses the ids of a repeated field. Removes duplicates. */
export function parseIds(field: string, ids: readonly string[], maxCount: number): string[] {
  if (ids.length > maxCount) throw invalidField(field, `must have at most ${maxCount} entries`);
  return [...new Set(ids.map((id, index) => parseId(`${field}[${index}]`, id)))];
}

/** Parses the id of a user who may hold a floor. */
export function parseSpeakerId(field: string, userId: string): string {
  if (userId === RESERVED_HOLDER) throw invalidField(field, `"${RESERVED_HOLDER}" is reserved for pauses`);
  return parseId(field, userId);
}

/** Parses an id that may be left out. It is empty then. */
export function parseOptionalId(field: string, id: string): string {
  return id === "" ? id : parseId(field, id);
}

/** Parses free text for people: any characters except control characters. */
export function parseText(field: string, text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) > maxBytes) throw invalidField(field, `must have at most ${maxBytes} bytes of UTF-8`);
  if (/\p{Cc}/u.test(text)) throw invalidField(field, "must have no control characters");
  return text;
}

const MAX_REASON_BYTES = 512;

/** Parses a reason for people. */
export function parseReason(reason: string): string {
  return parseText("reason", reason, MAX_REASON_BYTES);
}

/** Parses the fields of a request about a user, with a reason for people. */
export function parseUserAndReason({ eventId, userId, reason }: { eventId: string; userId: string; reason: string }) {
  return { eventId: parseId("event_id", eventId), userId: parseId("user_id", userId), reason: parseReason(reason) };
}

/** Returns the fields that the answer of every write has. */
export function toWriteAnswer({ revision, epoch, replicated }: WriteOutcome) {
  return { revision: BigInt(revision), epoch, replicated };
}

/** Parses a span, in ms; undefined if it was left out. */
export function parseDuration(
  field: string,
  duration: Duration | undefined,
  minMs: number,
  maxMs: number,
): number | undefined {
  if (duration === undefined) return undefined;
  const ms = durationMs(duration);
  if (ms < minMs || ms > maxMs) throw invalidField(field, `must be between ${minMs / 1000} s and ${maxMs / 1000} s`);
  // Rounds up, because 0 may have a meaning of its own.
  return Math.ceil(ms);
}

const DEFAULT_CHECKPOINT_INTERVAL_MS = 5_000;
const MIN_CHECKPOINT_INTERVAL_MS = 1_000;
const MAX_CHECKPOINT_INTERVAL_MS = 60_000;

/** Parses the time between two checkpoints, in ms. */
export function parseCheckpointInterval(interval: Duration | undefined): number {
  const field = "checkpoint_interval";
  const ms = parseDuration(field, interval, MIN_CHECKPOINT_INTERVAL_MS, MAX_CHECKPOINT_INTERVAL_MS);
  return ms ?? DEFAULT_CHECKPOINT_INTERVAL_MS;
}

/** Parses a priority. It is normal if it was left out. */
export function parsePriority(field: string, priority: FloorPriorityMessage): FloorPriority {
  const parsed = priority === FloorPriorityMessage.UNSPECIFIED ? "normal" : priorityOf(priority);
  if (parsed === undefined) throw invalidField(field, `must be a FloorPriority, not ${priority}`);
  return parsed;
}

/** Parses a count that JavaScript can represent exactly. */
export function parseCount(field: string, value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalidField(field, "is too large");
  return Number(value);
}

/** Parses cursors. Returns them by event. */
export function parseCursors(field: string, cursors: readonly CursorMessage[]): Map<string, Cursor> {
  const byEvent = new Map<string, Cursor>();
  for (const [index, { eventId, epoch, revision }] of cursors.entries()) {
    const path = `${field}[${index}]`;
    parseId(`${path}.event_id`, eventId);
    if (byEvent.has(eventId)) throw invalidField(`${path}.event_id`, `"${eventId}" has more than one cursor`);
    if (epoch === "")
      throw invalidField(`${path}.epoch`, "must not be empty; leave the cursor out to start with a snapshot");
    byEvent.set(eventId, { eventId, epoch, revision: parseCount(`${path}.revision`, revision) });
  }
  return byEvent;
}
