import type { WatchChannelsResponse } from "../../../gen/squelch/v1/channel_service_pb.js";
import type { ActiveSpeaker, SpeakerPause } from "../../../gen/squelch/v1/model_pb.js";
import type { Change, Snapshot } from "../../../gen/squelch/v1/permission_service_pb.js";

/** The state of one event, built from the messages of the stream. */
export class EventPicture {
  readonly eventId: string;
  epoch = "";
  /** The revision of the newest change in the picture. */
  revision = 0n;
  /** All users that were ever written, with their channels. */
  users = new Map<string, readonly string[]>();
  /** The revision of the newest change of each user who changed since the snapshot. */
  userRevisions = new Map<string, bigint>();
  /** The current pause. */
  pause: SpeakerPause | undefined;
  /** The revision that a router must have applied so that the pause is in force there. */
  pauseRevision = 0n;
  /** The number of speakers that the pause stopped; undefined if the page was opened later. */
  cut: number | undefined;
  /** The speakers, by channel id. */
  speakers = new Map<string, ActiveSpeaker>();
  /** The number of users who have a channel. */
  userCount = 0;
  /** Increases with every change of `users`. */
  usersVersion = 0;
  /** Increases when a user gets a first channel or loses the last one. The order of the user list depends on it. */
  rosterVersion = 0;
  /** The known channels of the event, each with the revision of the change that named it. */
  channels = new Map<string, bigint>();
  /** Increases with every change of `channels`. */
  channelsVersion = 0;
  /** Increases with every change of `speakers` or `pause`. */
  floorVersion = 0;
  /** Increases when a ban begins or ends. */
  bansVersion = 0;
  /** False before the first complete snapshot. */
  isKnown = false;
  #chunks: Snapshot[] = [];

  constructor(eventId: string) {
    this.eventId = eventId;
  }

  /** Adds a chunk of a snapshot. The last chunk replaces the state. */
  takeSnapshot(chunk: Snapshot): void {
    if (chunk.chunkIndex === 0) this.#chunks = [];
    this.#chunks.push(chunk);
    if (!chunk.complete) return;
    this.users = new Map(
      this.#chunks.flatMap(({ users }) => users.map(({ userId, channelIds }) => [userId, channelIds])),
    );
    this.#chunks = [];
    this.userRevisions = new Map();
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

  /** Drops the chunks of an incomplete snapshot, because a new stream starts. */
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
      this.userRevisions.set(userId, revision);
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

  takeSpeakers({ payload }: WatchChannelsResponse): void {
    if (payload.case === "snapshot") {
      this.speakers = new Map(payload.value.speakers.map((speaker) => [speaker.channelId, speaker]));
    } else if (payload.case === "changed") {
      const { channelId, holder } = payload.value;
      if (holder !== undefined) this.speakers.set(channelId, holder);
      else this.speakers.delete(channelId);
    }
    for (const speaking of this.speakers.keys()) this.#name(speaking);
    this.floorVersion++;
  }

  /**
   * Takes the list of the event's channels. A channel that is not in the list has left the event, unless a later change
   * named it.
   *
   * @param askedAt the revision of the picture when the list was requested
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

/** False for a pause of duration 0, which ended when it began. */
export function isLatch({ startedAt, expiresAt }: SpeakerPause): boolean {
  return startedAt?.seconds !== expiresAt?.seconds || startedAt?.nanos !== expiresAt?.nanos;
}
