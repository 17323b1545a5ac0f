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
  /** How many of them have a channel. */
  userCount = 0;
  /** Counts what changes `users`. */
  usersVersion = 0;
  /** Counts who gets a first channel or loses the last one: as long as it stays, so does the order of the list. */
  rosterVersion = 0;
  /** The event's channels as far as they are known, each with the revision at which it was named. */
  channels = new Map<string, bigint>();
  /** Counts what changes `channels`. */
  channelsVersion = 0;
  /** Counts what changes `speakers` or the pause. */
  floorVersion = 0;
  /** Counts the beginnings and ends of bans. */
  bansVersion = 0;
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
    this.userCount = 0;
    for (const channelIds of this.users.values()) {
      if (channelIds.length > 0) this.userCount++;
      for (const channelId of channelIds) this.#name(channelId);
    }
    this.rosterVersion++;
    this.usersVersion++;
    this.floorVersion++;
    this.bansVersion++;
  }

  /** The stream begins anew: chunks of the old one are worth nothing. */
  dropChunks(): void {
    this.#chunks = [];
  }

  takeChange({ revision, kind }: Change): void {
    this.revision = revision;
    if (kind.case === "membershipChanged") {
      const { userId, channelIds, added } = kind.value;
      const hadChannels = (this.users.get(userId)?.length ?? 0) > 0;
      const hasChannels = channelIds.length > 0;
      if (hadChannels !== hasChannels) {
        this.userCount += hasChannels ? 1 : -1;
        this.rosterVersion++;
      }
      this.users.set(userId, channelIds);
      for (const channelId of added) this.#name(channelId);
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
    } else if (kind.case === "userBanned" || kind.case === "userUnbanned") {
      this.bansVersion++;
    }
  }

  takeSpeakers({ channelId, holder, snapshot }: WatchChannelsResponse): void {
    if (snapshot !== undefined)
      this.speakers = new Map(snapshot.speakers.map((speaker) => [speaker.channelId, speaker]));
    else if (holder !== undefined) this.speakers.set(channelId, holder);
    else this.speakers.delete(channelId);
    for (const speaking of this.speakers.keys()) this.#name(speaking);
    this.floorVersion++;
  }

  /**
   * Takes the event's index of channels: what is not in it has left the event, unless it was named since.
   *
   * @param askedAt the revision of the picture when the index was asked for
   */
  takeIndex(channelIds: readonly string[], askedAt: bigint): void {
    const named = [...this.channels].filter(([, revision]) => revision > askedAt);
    this.channels = new Map([...channelIds.map((channelId) => [channelId, 0n] as const), ...named]);
    this.channelsVersion++;
  }

  #name(channelId: string): void {
    if (this.channels.has(channelId)) return;
    this.channels.set(channelId, this.revision);
    this.channelsVersion++;
  }
}

/** False for a pause that only cut: it ended as it began. */
export function isLatch({ startedAt, expiresAt }: SpeakerPause): boolean {
  return startedAt?.seconds !== expiresAt?.seconds || startedAt?.nanos !== expiresAt?.nanos;
}
