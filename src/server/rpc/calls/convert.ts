import type { Duration } from "@bufbuild/protobuf/wkt";
import { durationMs } from "@bufbuild/protobuf/wkt";
import {
  type Cursor as CursorMessage,
  FloorPriority as FloorPriorityMessage,
} from "../../../../gen/squelch/v1/model_pb.js";
import type { Cursor } from "../../../domain/cursor.js";
import { SquelchError } from "../../../domain/errors.js";
import { type FloorPriority, RESERVED_HOLDER } from "../../../domain/floor.js";
import { parseId } from "../../../domain/id.js";
import { priorityOf } from "../../../wire/floorEnums.js";

// Turns fields of requests into values of the domain. Each function throws SquelchError `invalidArgument` that names the field.

function invalid(field: string, problem: string): SquelchError {
  return new SquelchError("invalidArgument", `${field}: ${problem}`);
}

/** Parses the ids of a repeated field. Removes duplicates. */
export function parseIds(field: string, ids: readonly string[], maxCount: number): string[] {
  if (ids.length > maxCount) throw invalid(field, `must have at most ${maxCount} entries`);
  return [...new Set(ids.map((id, index) => parseId(`${field}[${index}]`, id)))];
}

/** Parses the id of a user who may hold a floor. */
export function parseSpeakerId(field: string, userId: string): string {
  if (userId === RESERVED_HOLDER) throw invalid(field, `"${RESERVED_HOLDER}" is reserved for pauses`);
  return parseId(field, userId);
}

/** Parses an id that may be left out. It is empty then. */
export function parseOptionalId(field: string, id: string): string {
  return id === "" ? id : parseId(field, id);
}

/** Parses free text for people: any characters except control characters. */
export function parseText(field: string, text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) > maxBytes) throw invalid(field, `must have at most ${maxBytes} bytes of UTF-8`);
  if (/\p{Cc}/u.test(text)) throw invalid(field, "must have no control characters");
  return text;
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
  if (ms < minMs || ms > maxMs) throw invalid(field, `must be between ${minMs / 1000} s and ${maxMs / 1000} s`);
  // Rounds up, because 0 may have a meaning of its own.
  return Math.ceil(ms);
}

/** Parses a priority. It is normal if it was left out. */
export function parsePriority(field: string, priority: FloorPriorityMessage): FloorPriority {
  const parsed = priority === FloorPriorityMessage.UNSPECIFIED ? "normal" : priorityOf(priority);
  if (parsed === undefined) throw invalid(field, `must be a FloorPriority, not ${priority}`);
  return parsed;
}

/** Parses a count that JavaScript can represent exactly. */
export function parseCount(field: string, value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid(field, "is too large");
  return Number(value);
}

/** Parses cursors. Returns them by event. */
export function parseCursors(field: string, cursors: readonly CursorMessage[]): Map<string, Cursor> {
  const byEvent = new Map<string, Cursor>();
  for (const [index, { eventId, epoch, revision }] of cursors.entries()) {
    const path = `${field}[${index}]`;
    parseId(`${path}.event_id`, eventId);
    if (byEvent.has(eventId)) throw invalid(`${path}.event_id`, `"${eventId}" has more than one cursor`);
    if (epoch === "")
      throw invalid(`${path}.epoch`, "must not be empty; leave the cursor out to start with a snapshot");
    byEvent.set(eventId, { eventId, epoch, revision: parseCount(`${path}.revision`, revision) });
  }
  return byEvent;
}
