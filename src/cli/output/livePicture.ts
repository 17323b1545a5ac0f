import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { WatchChannelsResponse } from "../../../gen/squelch/v1/channel_service_pb.js";
import type { ActiveSpeaker, SpeakerPause } from "../../../gen/squelch/v1/model_pb.js";
import type { Change, Snapshot, WatchPermissionsResponse } from "../../../gen/squelch/v1/permission_service_pb.js";
import { describeChange } from "../demo/narrator.js";
import { formatCount, isCutOnly } from "./describe.js";
import { type Colors, formatTable, printable } from "./output.js";

/** The number of newest changes that are kept. */
const MAX_CHANGES = 200;
/** The number of speakers that are named for an event. */
const NAMED_SPEAKERS = 3;

interface LiveEvent {
  revision: bigint;
  /** The users who have a channel. */
  users: Set<string>;
  speakers: Map<string, ActiveSpeaker>;
  pause: SpeakerPause | undefined;
}

/** The size and time of a page. */
export interface LiveFrame {
  columns: number;
  rows: number;
  colors: Colors;
  /** ms since 1970. */
  nowMs: number;
}

/** The page of `squelch watch` on a terminal: the state of all events and the newest changes. */
export class LivePicture {
  readonly #address: string;
  readonly #events = new Map<string, LiveEvent>();
  readonly #changes: string[] = [];
  #feedHealthy: boolean | undefined;
  #caughtUpAtMs = 0;

  /** @param address the replica that is watched */
  constructor(address: string) {
    this.#address = address;
  }

  /** Adds a message that arrived at `nowMs`. */
  take({ payload }: WatchPermissionsResponse, nowMs: number): void {
    switch (payload.case) {
      case "snapshot":
        this.#takeSnapshot(payload.value);
        break;
      case "changes":
        for (const change of payload.value.changes) this.#takeChange(payload.value.eventId, change);
        break;
      case "checkpoint":
        this.#feedHealthy = payload.value.feedHealthy;
        this.#caughtUpAtMs = nowMs;
        break;
      case "speakers": {
        this.#takeSpeakers(payload.value);
        break;
      }
      // A payload that a newer replica may add.
      case undefined:
    }
  }

  #takeSpeakers({ eventId, payload }: WatchChannelsResponse): void {
    const { speakers } = this.#event(eventId);
    if (payload.case === "snapshot") {
      speakers.clear();
      for (const speaker of payload.value.speakers) speakers.set(speaker.channelId, speaker);
    } else if (payload.case === "changed") {
      const { channelId, holder } = payload.value;
      if (holder !== undefined) speakers.set(channelId, holder);
      else speakers.delete(channelId);
    }
  }

  /** Returns the page: at most `rows` lines of at most `columns` characters, not counting colours. */
  lines({ columns, rows, colors, nowMs }: LiveFrame): string[] {
    const top = [this.#headline(colors, nowMs), ""];
    const table = this.#table(colors, nowMs);
    // The changes get half of the page, also with many events.
    const room = Math.max(1, Math.ceil((rows - top.length) / 2) - 2);
    const hidden = table.length - 1 - room;
    const events = hidden > 0 ? [...table.slice(0, room), colors.dim(`… and ${hidden + 1} more`)] : table;
    const left = Math.max(0, rows - top.length - events.length - 1);
    const changes = left === 0 ? [] : this.#changes.slice(-left);
    return [...top, ...events, "", ...changes].slice(0, rows).map((line) => cut(line, columns));
  }

  #headline({ bold, green, red, dim }: Colors, nowMs: number): string {
    const count = formatCount(this.#events.size, "event");
    if (this.#feedHealthy === undefined) return `${bold(this.#address)}  ${dim("catching up")}  ${count}`;
    const age = `${((nowMs - this.#caughtUpAtMs) / 1_000).toFixed(0)} s ago`;
    const feed = this.#feedHealthy ? green("feed healthy") : red("feed not healthy: changes may be missing");
    return `${bold(this.#address)}  ${feed}  ${dim(`checkpoint ${age}`)}  ${count}`;
  }

  #table({ dim, red, yellow }: Colors, nowMs: number): string[] {
    const rows = [...this.#events]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([eventId, event]) => {
        const speakers = [...event.speakers.values()];
        const named = speakers.slice(0, NAMED_SPEAKERS).map(({ channelId, userName }) => `${channelId}: ${userName}`);
        const more = speakers.length > NAMED_SPEAKERS ? [`${speakers.length - NAMED_SPEAKERS} more`] : [];
        return {
          cells: [eventId, String(event.revision), String(event.users.size), [...named, ...more].join(", ") || "-"],
          pause: event.pause && describeStanding(event.pause, nowMs),
          isSpeaking: speakers.length > 0,
        };
      });
    const [head = "", ...lines] = formatTable(
      ["EVENT", "REVISION", "USERS", "SPEAKING", "PAUSE"],
      rows.map(({ cells, pause }) => [...cells, pause ?? "-"].map(printable)),
    );
    return [
      dim(head),
      ...lines.map((line, index) => (rows[index]?.pause ? red(line) : rows[index]?.isSpeaking ? yellow(line) : line)),
    ];
  }

  #event(eventId: string): LiveEvent {
    const known = this.#events.get(eventId);
    if (known) return known;
    const event: LiveEvent = { revision: 0n, users: new Set(), speakers: new Map(), pause: undefined };
    this.#events.set(eventId, event);
    return event;
  }

  #takeSnapshot({ eventId, cursor, chunkIndex, users, pause }: Snapshot): void {
    const event = this.#event(eventId);
    if (chunkIndex === 0) event.users.clear();
    for (const { userId, channelIds } of users) if (channelIds.length > 0) event.users.add(userId);
    event.revision = cursor?.revision ?? 0n;
    event.pause = pause;
  }

  #takeChange(eventId: string, change: Change): void {
    const event = this.#event(eventId);
    event.revision = change.revision;
    const { kind } = change;
    if (kind.case === "membershipChanged") {
      if (kind.value.channelIds.length > 0) event.users.add(kind.value.userId);
      else event.users.delete(kind.value.userId);
    } else if (kind.case === "speakersPaused") {
      event.pause = kind.value.pause && !isCutOnly(kind.value.pause) ? kind.value.pause : event.pause;
    } else if (kind.case === "speakersResumed") event.pause = undefined;
    const at = change.time ? new Date(timestampMs(change.time)).toISOString().slice(11, 19) : "-";
    this.#changes.push(printable(`${at} ${eventId} #${change.revision} ${describeChange(change)}`));
    if (this.#changes.length > MAX_CHANGES) this.#changes.shift();
  }
}

function describeStanding({ expiresAt, reason, broadcaster }: SpeakerPause, nowMs: number): string {
  const seconds = Math.max(0, Math.ceil(((expiresAt ? timestampMs(expiresAt) : nowMs) - nowMs) / 1_000));
  const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  const voice = broadcaster ? ` ${broadcaster.userName || broadcaster.userId} speaks` : "";
  return `${clock} left${voice}${reason === "" ? "" : ` (${reason})`}`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: this searches for the escapes of colours.
const escapes = /(\u001b\[\d+m)/;

/** Cuts a line to `columns` characters. Colours do not count and are all kept. */
function cut(line: string, columns: number): string {
  let room = columns;
  return line
    .split(escapes)
    .map((part, index) => {
      if (index % 2 === 1) return part;
      const kept = [...part].slice(0, room).join("");
      room -= [...kept].length;
      return kept;
    })
    .join("");
}
