import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import {
  type ActiveSpeaker,
  FloorPriority,
  type SpeakerPause,
  type UserBan,
  type WaitingSpeaker,
} from "../../../gen/squelch/v1/model_pb.js";

/** Formats a time in UTC to the second, for example `2026-01-31T12:00:05Z`. Returns `-` if it is unset. */
export function formatTime(time: Timestamp | undefined): string {
  return time === undefined
    ? "-"
    : timestampDate(time)
        .toISOString()
        .replace(/\.\d+Z$/, "Z");
}

/** Formats ids with commas between them. Returns `-` for an empty list. */
export function formatIds(ids: readonly string[]): string {
  return ids.length === 0 ? "-" : ids.join(", ");
}

/** Formats a count with its noun, for example `1 user` or `2 users`. */
export function formatCount(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** True for a pause of duration 0: it stopped the speakers, but they may speak again at once. */
export function isCutOnly(pause: SpeakerPause): boolean {
  const { startedAt, expiresAt } = pause;
  return startedAt?.seconds === expiresAt?.seconds && startedAt?.nanos === expiresAt?.nanos;
}

/** Describes a pause with end, actor and reason: `paused until … by …`. */
export function describePause(pause: SpeakerPause): string {
  const parts = [
    isCutOnly(pause) ? `cut at ${formatTime(pause.startedAt)}` : `paused until ${formatTime(pause.expiresAt)}`,
    `by ${pause.actor || "-"}`,
  ];
  if (pause.reason !== "") parts.push(`(${pause.reason})`);
  if (pause.broadcaster !== undefined) parts.push(`for ${pause.broadcaster.userId} to speak`);
  if (pause.exemptUserIds.length > 0) parts.push(`except ${formatIds(pause.exemptUserIds)}`);
  parts.push(`pause id ${pause.pauseId}`);
  return parts.join(" ");
}

/** Describes a ban with end, actor and reason: `… is banned until … by …`. */
export function describeBan({ userId, expiresAt, bannedBy, reason }: UserBan): string {
  const end = expiresAt === undefined ? "until the ban is lifted" : `until ${formatTime(expiresAt)}`;
  return `${userId} is banned ${end} by ${bannedBy || "-"} (${reason || "no reason given"})`;
}

/** The heading of a table of speakers. */
export const SPEAKER_COLUMNS = ["CHANNEL", "USER", "NAME", "SINCE", "UNTIL", "PRIORITY"] as const;

/** A row of a table of speakers. */
export function speakerRow(speaker: ActiveSpeaker): string[] {
  return [
    speaker.channelId,
    speaker.userId,
    speaker.userName,
    formatTime(speaker.startedAt),
    formatTime(speaker.expiresAt),
    formatPriority(speaker.priority),
  ];
}

/** The heading of a table of users who wait to speak. */
export const WAITING_COLUMNS = ["WAITING FOR", "PLACE", "USER", "NAME", "UNTIL", "PRIORITY"] as const;

/** A row of a table of users who wait to speak. */
export function waitingRow({ channelId, position, userId, userName, expiresAt, priority }: WaitingSpeaker): string[] {
  return [channelId, String(position), userId, userName, formatTime(expiresAt), formatPriority(priority)];
}

function formatPriority(priority: FloorPriority): string {
  return (FloorPriority[priority] ?? String(priority)).toLowerCase().replaceAll("_", " ");
}
