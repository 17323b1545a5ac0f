import type { Change } from "../../domain/change.js";
import type { SpeakerPause } from "../../domain/floor.js";
import type { Membership } from "../../domain/membership.js";
import type { EventState } from "../../domain/ports/logStore.js";
import { SharedTexts } from "../../lib/sharedTexts.js";

/** The picture of one event as its log has it so far. */
export class FeedPicture {
  readonly members: Map<string, Membership>;
  pause: SpeakerPause | undefined;
  // Each change brings strings of its own for channels that thousands of users have.
  readonly #texts = new SharedTexts();

  constructor(state: Pick<EventState, "members" | "pause">) {
    this.members = new Map(state.members.map((member) => [member.userId, this.#compact(member)]));
    this.pause = state.pause;
  }

  /** Changes come in ascending order of revision. */
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

  // The field that hardly any has is left out where it is: a word for each of a million.
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
