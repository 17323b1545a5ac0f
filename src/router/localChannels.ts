import type { ActiveSpeaker, SpeakerPause } from "../domain/floor.js";
import type { ClientIdentity } from "./clientToken.js";
import { type ChannelStateData, channelState, presenceFrame, speakerChangedFrame } from "./frames.js";
import type { FloorRevocation, PauseNotice, ResumeNotice } from "./permissionEvents.js";

/** Who speaks, as far as this router knows. */
export type Holder = Pick<ActiveSpeaker, "userId" | "userName" | "startedAtMs">;

/** A client that has joined a channel. */
export interface ChannelMember {
  readonly identity: ClientIdentity;
  send(frame: string): void;
  leaveChannel(channelId: string): void;
}

interface LocalChannel {
  eventId: string;
  members: Set<ChannelMember>;
  holder: Holder | undefined;
}

/** Who holds every free channel of an event while the pause stands; its lease began with the pause. */
function broadcasterOf(pause: SpeakerPause | undefined): Holder | undefined {
  if (pause?.broadcaster === undefined) return undefined;
  const { userId, userName } = pause.broadcaster;
  return { userId, userName: userName || userId, startedAtMs: pause.startedAtMs };
}

/** The channels that clients of this router have joined, with their members and speakers. */
export class LocalChannels {
  readonly #channels = new Map<string, LocalChannel>();

  /** Adds a member, with the state as the store has it, and tells the others. Clients of another event are put off. */
  join(channelId: string, member: ChannelMember, holder: Holder | undefined): void {
    const { eventId } = member.identity;
    const channel = this.#channels.get(channelId);
    if (channel && channel.eventId !== eventId) {
      for (const stranger of [...channel.members]) stranger.leaveChannel(channelId);
    }
    const joined = this.#channels.get(channelId) ?? { eventId, members: new Set<ChannelMember>(), holder };
    this.#channels.set(channelId, joined);
    this.setHolder(channelId, holder);
    this.#announcePresence(channelId, member, "user-joined");
    joined.members.add(member);
  }

  /** Removes a member and tells the others. Nothing happens if it is none. */
  leave(channelId: string, member: ChannelMember, action: "user-left" | "user-disconnected"): void {
    const channel = this.#channels.get(channelId);
    if (!channel?.members.delete(member)) return;
    if (channel.members.size === 0) this.#channels.delete(channelId);
    else this.#announcePresence(channelId, member, action);
  }

  /** True if a client of this router has joined the channel. */
  isJoined(channelId: string): boolean {
    return this.#channels.has(channelId);
  }

  /** The speaker of a channel; undefined if there is none or nobody here has joined it. */
  holder(channelId: string): Holder | undefined {
    return this.#channels.get(channelId)?.holder;
  }

  /** What clients are told of a channel. */
  state(channelId: string): ChannelStateData {
    return channelState(channelId, this.holder(channelId));
  }

  /** Takes over who speaks, and tells the members where that is news. */
  setHolder(channelId: string, holder: Holder | undefined): void {
    const channel = this.#channels.get(channelId);
    if (channel === undefined) return;
    const before = channel.holder;
    channel.holder = holder;
    if (before?.userId === holder?.userId && before?.startedAtMs === holder?.startedAtMs) return;
    const frame = speakerChangedFrame(this.state(channelId));
    for (const member of channel.members) member.send(frame);
  }

  /**
   * The floor that a user took at that time is free: the broadcaster of a standing pause has it, else nobody. Nothing
   * happens if the speaker is another by now.
   */
  release(channelId: string, userId: string, startedAtMs: number, pause: SpeakerPause | undefined): void {
    const holder = this.holder(channelId);
    if (holder?.userId !== userId || holder.startedAtMs !== startedAtMs) return;
    this.setHolder(channelId, broadcasterOf(pause));
  }

  /** Takes over what a pause did to the floors: those cut are free, or the broadcaster's, who also has all others. */
  pause({ eventId, pause, cut }: PauseNotice): void {
    for (const { channelId, userId, startedAtMs } of cut) this.release(channelId, userId, startedAtMs, pause);
    const broadcaster = broadcasterOf(pause);
    if (broadcaster === undefined) return;
    for (const [channelId, channel] of this.#channels) {
      const isExempt = channel.holder !== undefined && pause.exemptUserIds.includes(channel.holder.userId);
      if (channel.eventId === eventId && !isExempt) this.setHolder(channelId, broadcaster);
    }
  }

  /** The floors that a pause gave its broadcaster are free. */
  resume({ eventId, pause }: ResumeNotice): void {
    const broadcaster = broadcasterOf(pause);
    if (broadcaster === undefined) return;
    for (const [channelId, channel] of this.#channels) {
      if (channel.eventId === eventId) {
        this.release(channelId, broadcaster.userId, broadcaster.startedAtMs, undefined);
      }
    }
  }

  /** A user lost the floor of a channel. Nothing happens if it was taken anew meanwhile. */
  revoke({ channelId, userId, startedAtMs }: FloorRevocation, pause: SpeakerPause | undefined): void {
    const holder = this.holder(channelId);
    if (holder?.userId !== userId || (startedAtMs > 0 && holder.startedAtMs !== startedAtMs)) return;
    this.setHolder(channelId, broadcasterOf(pause));
  }

  #announcePresence(
    channelId: string,
    member: ChannelMember,
    action: "user-joined" | "user-left" | "user-disconnected",
  ): void {
    const frame = presenceFrame(this.state(channelId), action, member.identity);
    for (const other of this.#channels.get(channelId)?.members ?? []) {
      if (other !== member) other.send(frame);
    }
  }
}
