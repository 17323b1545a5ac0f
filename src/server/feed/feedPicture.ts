import type { Change } from "../../domain/change.js";
import type { SpeakerPause } from "../../domain/floor.js";
import type { Membership } from "../../domain/membership.js";
import type { EventState } from "../../domain/ports/logStore.js";
import { SharedTexts } from "../../lib/sharedTexts.js";

/** The members and the pause of one event, as of the newest change that was applied. */
export class FeedPicture {
  readonly members: Map<string, Membership>;
  pause: SpeakerPause | undefined;
  // Every parsed change has its own copy of each channel id. Sharing one copy saves memory with thousands of users.
  readonly #texts = new SharedTexts();

  constructor(state: Pick<EventState, "members" | "pause">) {
    this.members = new Map(state.members.map((member) => [member.userId, this.#compact(member)]));
    this.pause = state.pause;
  }

  /** Applies a change. Call it in ascending order of revision. */
  apply(change: Change): void {
    switch (change.kind) {
      case "membershipChanged": {
        const { channelIds, revision } = change;
        const known = this.members.get(change.userId);
        const userId = known?.userId ?? change.userId;
        const disconnectedAtMs = known?.disconnectedAtMs;
        this.members.set(userId, this.#compact({ userId, channelIds, revision, disconnectedAtMs }));
        break;
      }
      case "speakersPaused":
        if (change.pause.expiresAtMs > change.pause.startedAtMs) this.pause = change.pause;
        break;
      case "speakersResumed":
        this.pause = undefined;
        break;
      case "userDisconnected": {
        const { userId, timeMs } = change;
        const member = this.members.get(userId) ?? { userId, channelIds: [], revision: 0 };
        this.members.set(userId, { ...member, disconnectedAtMs: timeMs });
        break;
      }
      case "floorRevoked":
      case "floorRequestGranted":
      case "floorRequestDenied":
      case "userBanned":
      case "userUnbanned":
        break;
    }
  }

  // Leaves `disconnectedAtMs` out of members without one: that saves 8 bytes for each of a million members.
  #compact({ userId, channelIds, revision, disconnectedAtMs }: Membership): Membership {
    const member: Membership = {
      userId,
      channelIds: channelIds.map((channelId) => this.#texts.share(channelId)),
      revision,
    };
    if (disconnectedAtMs !== undefined) member.disconnectedAtMs = disconnectedAtMs;
    return member;
  }
}
