import type { LogEntry, SpeakersPaused } from "../../../domain/change.js";
import type { ActiveSpeaker } from "../../../domain/floor.js";
import { parseSpeakers, type StoredSpeakers } from "./speakerValue.js";

/**
 * A log entry in the format that scripts write. Entries of an older version hold speakers instead of the values of
 * their keys.
 */
type StoredEntry = Exclude<LogEntry, SpeakersPaused> | StoredPause;
type StoredPause = Omit<SpeakersPaused, "cut"> & { cut: StoredSpeakers | ActiveSpeaker[] };

function toLogEntry(stored: StoredEntry): LogEntry {
  if (stored.kind !== "speakersPaused" || Array.isArray(stored.cut)) return stored as LogEntry;
  return { ...stored, cut: parseSpeakers(stored.cut as StoredSpeakers) } as LogEntry;
}

/** Parses an entry of the log. */
export function parseLogEntry(json: string): LogEntry {
  return toLogEntry(JSON.parse(json));
}

/** Parses a published message: one entry, or a list of entries that ends with the newest. */
export function parsePublishedEntries(message: string): LogEntry[] {
  const told = JSON.parse(message) as StoredEntry | StoredEntry[];
  return Array.isArray(told) ? told.map(toLogEntry) : [toLogEntry(told)];
}
