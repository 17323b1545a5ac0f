import { type ActiveSpeaker, FLOOR_PRIORITIES, type FloorPriority, RESERVED_HOLDER } from "../../../domain/floor.js";

const priorities: ReadonlySet<unknown> = new Set(FLOOR_PRIORITIES);

/** Parses a number almost as Lua's tonumber does: whole ms, or 0 for an invalid time. */
function cleanTime(value: unknown): number {
  const time = typeof value === "number" || typeof value === "string" ? Number(value) : 0;
  return time > 0 && time < 1e15 ? Math.floor(time) : 0;
}

function cleanText(value: unknown): string | undefined {
  if (typeof value === "number") return value.toFixed(0);
  return typeof value === "string" ? value : undefined;
}

function parseObject(value: string): SpeakerValue {
  try {
    const parsed: unknown = JSON.parse(value);
    return typeof parsed === "object" && parsed !== null ? parsed : {};
  } catch {
    // Other programs write these values too. A value that cannot be parsed is still a lock.
    return {};
  }
}

// Matches the formats in which routers write a lock and scripts write a lease. Matching takes at most half the time
// of JSON.parse, and there may be thousands of values. JSON.parse reads any other format, and values with escapes.
const KNOWN_FORM =
  /^\{"userId":"([^"\\\p{Cc}]+)","userName":"([^"\\\p{Cc}]+)","timestamp":([1-9]\d{0,13})(?:,"leaseId":[1-9]\d{0,13},"expiresAt":([1-9]\d{0,13}),"talkUntil":[1-9]\d{0,13},"leaseMs":[1-9]\d{0,13},"priority":"(\w+)","sessionId":"[^"\\\p{Cc}]*")?\}$/u;

/** The fields of a speaker value that Squelch reads. */
interface SpeakerValue {
  userId?: unknown;
  userName?: unknown;
  timestamp?: unknown;
  expiresAt?: unknown;
  priority?: unknown;
}

function readValue(value: string): SpeakerValue {
  const known = KNOWN_FORM.exec(value);
  if (known === null) return parseObject(value);
  const [, userId, userName, timestamp, expiresAt, priority] = known;
  return { userId, userName, timestamp, expiresAt, priority };
}

/**
 * Decodes the value of a channel's speaker key. Returns undefined for the reserved holder. `decode_speaker` in
 * `lua/shared/floor.lua` does the same; scripts leave the decoding to their callers if there may be thousands of
 * values.
 *
 * @param endsAtMs when the key expires, for a value that may not contain the time
 */
export function parseSpeaker(channelId: string, value: string, endsAtMs = 0): ActiveSpeaker | undefined {
  const fields = readValue(value);
  const userId = cleanText(fields.userId) ?? "unknown";
  if (userId === RESERVED_HOLDER) return undefined;
  return {
    channelId,
    userId,
    userName: cleanText(fields.userName) ?? userId,
    startedAtMs: cleanTime(fields.timestamp),
    expiresAtMs: cleanTime(fields.expiresAt) || endsAtMs,
    priority: priorities.has(fields.priority) ? (fields.priority as FloorPriority) : "normal",
  };
}

/** The speakers of many channels in the format that scripts write: the values of the channels' speaker keys. */
export interface StoredSpeakers {
  channelIds: string[];
  values: string[];
  /** The TTLs of the keys; 0 or below if there is none, or if the value contains the end. */
  ttlsMs?: number[];
}

/**
 * Decodes the speakers, ascending by channel.
 *
 * @param timeMs when they were read, if there are TTLs
 */
export function parseSpeakers({ channelIds, values, ttlsMs = [] }: StoredSpeakers, timeMs = 0): ActiveSpeaker[] {
  const speakers: ActiveSpeaker[] = [];
  for (const [index, channelId] of channelIds.entries()) {
    const ttlMs = ttlsMs[index] ?? 0;
    // A lock without a TTL, which other programs may have left, has no end.
    const speaker = parseSpeaker(channelId, values[index] as string, ttlMs > 0 ? timeMs + ttlMs : 0);
    if (speaker !== undefined) speakers.push(speaker);
  }
  return speakers.sort((a, b) => (a.channelId < b.channelId ? -1 : 1));
}
