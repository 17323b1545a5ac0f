import type { WatchChannelsResponse } from "../../../gen/squelch/v1/channel_service_pb.js";
import type { ActiveSpeaker, SpeakerPause } from "../../../gen/squelch/v1/model_pb.js";
import type { Change, Snapshot } from "../../../gen/squelch/v1/permission_service_pb.js";

/** What the stream has told of one event. */
export class EventPicture {
  readonly eventId: string;
  epoch = "";
  /** Of the newest change that is in the picture. */
  revision = 0n;
  /** Every user who was ever written, with all channels. */
  users = new Map<string, readonly string[]>();
  /** The pause that stands. */
  pause: SpeakerPause | undefined;
  /** The revision that a router must have acted on to have the pause in force. */
  pauseRevision = 0n;
  /** Floors that the pause cut; undefined where the page came later. */
  cut: number | undefined;
  /** Who holds a floor, by channel. */
  speakers = new Map<string, ActiveSpeaker>();
  /** Counts what changes `users`. */
  usersVersion = 0;
  /** Counts what changes `speakers` or the pause. */
  floorVersion = 0;
  /** False until the first snapshot was complete. */
  isKnown = false;
  #chunks: Snapshot[] = [];

  constructor(eventId: string) {
    this.eventId = eventId;
  }

  /** Takes a chunk; the picture is replaced with the last one. */
  takeSnapshot(chunk: Snapshot): void {
    if (chunk.chunkIndex === 0) this.#chunks = [];
    this.#chunks.push(chunk);
    if (!chunk.complete) return;
    this.users = new Map(
      this.#chunks.flatMap(({ users }) => users.map(({ userId, channelIds }) => [userId, channelIds])),
    );
    this.#chunks = [];
    this.epoch = chunk.cursor?.epoch ?? "";
    this.revision = chunk.cursor?.revision ?? 0n;
    if (chunk.pause?.pauseId !== this.pause?.pauseId) this.cut = undefined;
    this.pause = chunk.pause;
    this.pauseRevision = this.revision;
    this.isKnown = true;
    this.usersVersion++;
    this.floorVersion++;
  }

  /** The stream begins anew: chunks of the old one are worth nothing. */
  dropChunks(): void {
    this.#chunks = [];
  }

  takeChange({ revision, kind }: Change): void {
    this.revision = revision;
    if (kind.case === "membershipChanged") {
      this.users.set(kind.value.userId, kind.value.channelIds);
      this.usersVersion++;
    } else if (kind.case === "speakersPaused") {
      const { pause, cut } = kind.value;
      if (pause === undefined || !isLatch(pause)) return;
      this.pause = pause;
      this.pauseRevision = revision;
      this.cut = cut.length;
      this.floorVersion++;
    } else if (kind.case === "speakersResumed") {
      this.pause = undefined;
      this.floorVersion++;
    }
  }

  takeSpeakers({ channelId, holder, snapshot }: WatchChannelsResponse): void {
    if (snapshot !== undefined)
      this.speakers = new Map(snapshot.speakers.map((speaker) => [speaker.channelId, speaker]));
    else if (holder !== undefined) this.speakers.set(channelId, holder);
    else this.speakers.delete(channelId);
    this.floorVersion++;
  }
}

/** False for a pause that only cut: it ended as it began. */
export function isLatch({ startedAt, expiresAt }: SpeakerPause): boolean {
  return startedAt?.seconds !== expiresAt?.seconds || startedAt?.nanos !== expiresAt?.nanos;
}
