import { type ActiveSpeaker, FLOOR_PRIORITIES, type FloorPriority, RESERVED_HOLDER } from "../../../domain/floor.js";

const priorities: ReadonlySet<unknown> = new Set(FLOOR_PRIORITIES);

/** Nearest to what Lua's tonumber makes of it: whole ms, 0 for what is no time. */
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
    // Others write these values too: one that makes no sense is a lock all the same.
    return {};
  }
}

// How routers write a lock, and scripts a lease: to match that takes half of what JSON.parse takes, or less, and there may
// be thousands. Whatever looks otherwise, also by an escape, is left to JSON.parse.
const KNOWN_FORM =
  /^\{"userId":"([^"\\\p{Cc}]+)","userName":"([^"\\\p{Cc}]+)","timestamp":([1-9]\d{0,13})(?:,"leaseId":[1-9]\d{0,13},"expiresAt":([1-9]\d{0,13}),"talkUntil":[1-9]\d{0,13},"leaseMs":[1-9]\d{0,13},"priority":"(\w+)","sessionId":"[^"\\\p{Cc}]*")?\}$/u;

/** What is read of a value. */
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
 * The speaker that the value of a channel's speaker key tells of, or undefined for the reserved holder. The same as
 * `decode_speaker` in `lua/shared/floor.lua`, which scripts leave to their callers where there may be thousands.
 *
 * @param endsAtMs when the key ends, if the value may not say so
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

/** The speakers of many channels as scripts write them: the values of the channels' speaker keys. */
export interface StoredSpeakers {
  channelIds: string[];
  values: string[];
  /** The TTLs of the keys; 0 or below for none, or where the value says when it ends. */
  ttlsMs?: number[];
}

/**
 * Ascending by channel.
 *
 * @param timeMs when they were read, if there are TTLs
 */
export function parseSpeakers({ channelIds, values, ttlsMs = [] }: StoredSpeakers, timeMs = 0): ActiveSpeaker[] {
  const speakers: ActiveSpeaker[] = [];
  for (const [index, channelId] of channelIds.entries()) {
    const ttlMs = ttlsMs[index] ?? 0;
    // A lock without a TTL, which others may have left, says nothing.
    const speaker = parseSpeaker(channelId, values[index] as string, ttlMs > 0 ? timeMs + ttlMs : 0);
    if (speaker !== undefined) speakers.push(speaker);
  }
  return speakers.sort((a, b) => (a.channelId < b.channelId ? -1 : 1));
}
