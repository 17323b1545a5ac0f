import type { LogEntry, SpeakersPaused } from "../../../domain/change.js";
import type { ActiveSpeaker } from "../../../domain/floor.js";
import { parseSpeakers, type StoredSpeakers } from "./speakerValue.js";

/** As scripts write it. Entries of an older version have speakers instead of the values of their keys. */
type StoredEntry = Exclude<LogEntry, SpeakersPaused> | StoredPause;
type StoredPause = Omit<SpeakersPaused, "cut"> & { cut: StoredSpeakers | ActiveSpeaker[] };

function toLogEntry(stored: StoredEntry): LogEntry {
  if (stored.kind !== "speakersPaused" || Array.isArray(stored.cut)) return stored as LogEntry;
  return { ...stored, cut: parseSpeakers(stored.cut as StoredSpeakers) } as LogEntry;
}

/** An entry as the log keeps it. */
export function parseLogEntry(json: string): LogEntry {
  return toLogEntry(JSON.parse(json));
}

/** What is published: an entry, or a list of those that lead to the newest. */
export function parsePublishedEntries(message: string): LogEntry[] {
  const told = JSON.parse(message) as StoredEntry | StoredEntry[];
  return Array.isArray(told) ? told.map(toLogEntry) : [toLogEntry(told)];
}
