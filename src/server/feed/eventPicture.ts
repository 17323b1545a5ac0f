import type { Change } from "../../domain/change.js";
import type { SpeakerPause } from "../../domain/floor.js";
import type { Membership } from "../../domain/membership.js";
import type { EventState } from "../../domain/ports.js";

/** The picture of one event as its log has it so far. */
export class EventPicture {
  readonly members: Map<string, Membership>;
  pause: SpeakerPause | undefined;

  constructor(state: Pick<EventState, "members" | "pause">) {
    this.members = new Map(state.members.map((member) => [member.userId, member]));
    this.pause = state.pause;
  }

  /** Changes come in ascending order of revision. */
  apply(change: Change): void {
    switch (change.kind) {
      case "membershipChanged": {
        const { userId, channelIds, revision } = change;
        const disconnectedAtMs = this.members.get(userId)?.disconnectedAtMs;
        this.members.set(userId, { userId, channelIds, revision, disconnectedAtMs });
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
}
