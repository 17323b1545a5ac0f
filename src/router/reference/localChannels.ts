import type { ActiveSpeaker } from "../../domain/floor.js";
import { type ChannelStateData, channelState, presenceFrame, speakerChangedFrame } from "../relay/frames.js";
import type { ClientIdentity } from "./clientToken.js";

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
    this.setHolder(eventId, channelId, holder);
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

  /** The speaker of a channel; undefined if there is none or nobody here has joined it. */
  holder(channelId: string): Holder | undefined {
    return this.#channels.get(channelId)?.holder;
  }

  /** What clients are told of a channel. */
  state(channelId: string): ChannelStateData {
    return channelState(channelId, this.holder(channelId));
  }

  /** Takes over who speaks, and tells the members where that is news. Nothing happens if nobody here has joined. */
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
    const frame = presenceFrame(this.state(channelId), action, member.identity);
    for (const other of this.#channels.get(channelId)?.members ?? []) {
      if (other !== member) other.send(frame);
    }
  }
}
