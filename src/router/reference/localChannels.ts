import type { ActiveSpeaker } from "../../domain/floor.js";
import { type ChannelStateData, channelState, presenceFrame, speakerChangedFrame } from "../relay/frames.js";
import type { ClientIdentity } from "./clientToken.js";

/** The user who holds the floor of a channel, as far as this router knows. */
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

/** The channels that clients of this router have joined, with their members and speakers. */
export class LocalChannels {
  readonly #channels = new Map<string, LocalChannel>();

  /**
   * Adds a member, sets the holder that the store returned, and notifies the other members. If the channel belonged to
   * another event, the clients of that event leave it.
   */
  join(channelId: string, member: ChannelMember, holder: Holder | undefined): void {
    const { eventId } = member.identity;
    const channel = this.#channels.get(channelId);
    if (channel && channel.eventId !== eventId) {
      for (const stranger of [...channel.members]) stranger.leaveChannel(channelId);
    }
    const joined = this.#channels.get(channelId) ?? { eventId, members: new Set<ChannelMember>(), holder };
    this.#channels.set(channelId, joined);
    this.setHolder(eventId, channelId, holder);
    joined.members.add(member);
    this.#announcePresence(channelId, member, "user-joined");
  }

  /** Removes a member and notifies the others. Does nothing if the client is not a member. */
  leave(channelId: string, member: ChannelMember, action: "user-left" | "user-disconnected"): void {
    const channel = this.#channels.get(channelId);
    if (!channel?.members.delete(member)) return;
    if (channel.members.size === 0) this.#channels.delete(channelId);
    else this.#announcePresence(channelId, member, action);
  }

  /** Returns the speaker of a channel; undefined if the floor is free or no client of this router has joined. */
  holder(channelId: string): Holder | undefined {
    return this.#channels.get(channelId)?.holder;
  }

  /** Returns how many users have joined a channel through this router. A user with several connections counts once. */
  userCount(channelId: string): number {
    const members = this.#channels.get(channelId)?.members ?? [];
    return new Set([...members].map(({ identity }) => identity.userId)).size;
  }

  /** True if the user has joined the channel through this router, on any connection. */
  hasUser(channelId: string, userId: string): boolean {
    return [...(this.#channels.get(channelId)?.members ?? [])].some(({ identity }) => identity.userId === userId);
  }

  /** Returns the channel state for the frames to clients. */
  state(channelId: string): ChannelStateData {
    return channelState(channelId, this.holder(channelId));
  }

  /** Sets the speaker and notifies the members of a change. Does nothing if no client of this router has joined. */
  setHolder(eventId: string, channelId: string, holder: Holder | undefined): void {
    const channel = this.#channels.get(channelId);
    if (channel?.eventId !== eventId) return;
    const before = channel.holder;
    channel.holder = holder;
    if (before?.userId === holder?.userId && before?.startedAtMs === holder?.startedAtMs) return;
    const frame = speakerChangedFrame(this.state(channelId));
    for (const member of channel.members) member.send(frame);
  }

  #announcePresence(
    channelId: string,
    member: ChannelMember,
    action: "user-joined" | "user-left" | "user-disconnected",
  ): void {
    const frame = presenceFrame(this.state(channelId), action, member.identity, this.userCount(channelId));
    for (const other of this.#channels.get(channelId)?.members ?? []) {
      if (other !== member) other.send(frame);
    }
  }
}
