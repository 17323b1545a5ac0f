import { timestampMs } from "@bufbuild/protobuf/wkt";
import { FloorRevokeCause } from "../../../gen/squelch/v1/model_pb.js";
import type { Change } from "../../../gen/squelch/v1/permission_service_pb.js";
import { isLatch } from "./eventPicture.js";

/** One change, described for people. */
export interface Activity {
  eventId: string;
  /** A unique key for the entry. */
  key: string;
  /** The time of the change by the clock of Redis, ms since 1970. */
  timeMs: number;
  actor: string;
  /** The kind of the change: `emergency` for a whole event, `floor` for speakers and bans, `routine` for others. */
  tone: "routine" | "floor" | "emergency";
  text: string;
}

const CAUSES: Readonly<Record<FloorRevokeCause, string>> = {
  [FloorRevokeCause.UNSPECIFIED]: "unknown cause",
  [FloorRevokeCause.ONLY_CLIENT]: "no other user was listening",
  [FloorRevokeCause.TALKED_TOO_LONG]: "the talk time is over",
  [FloorRevokeCause.NO_PERMISSION]: "may no longer speak on the channel",
  [FloorRevokeCause.PRE_EMPTED]: "a user with higher priority took it",
  [FloorRevokeCause.NO_RESOURCES]: "no resources",
  [FloorRevokeCause.OTHER]: "the lease was not renewed",
};

const list = (ids: readonly string[]) => (ids.length > 3 ? `${ids.length} channels` : ids.join(", "));

/** Describes a change. Returns undefined for a kind that this page does not know. */
export function toActivity(eventId: string, epoch: string, change: Change): Activity | undefined {
  const { revision, time, actor, kind } = change;
  const entry = (tone: Activity["tone"], text: string): Activity => ({
    eventId,
    key: `${eventId} ${epoch} ${revision}`,
    timeMs: time === undefined ? 0 : timestampMs(time),
    actor,
    tone,
    text,
  });
  switch (kind.case) {
    case "membershipChanged": {
      const { userId, added, removed } = kind.value;
      const parts = [added.length > 0 && `gains ${list(added)}`, removed.length > 0 && `loses ${list(removed)}`];
      return entry("routine", `${userId} ${parts.filter(Boolean).join(" and ") || "is written without a change"}`);
    }
    case "speakersPaused": {
      const { pause, cut } = kind.value;
      const what =
        pause !== undefined && isLatch(pause) ? "All speakers paused" : "All speakers stopped, without a pause";
      const reason = pause?.reason ? `: ${pause.reason}` : "";
      return entry("emergency", `${what}${reason} (${cut.length} stopped)`);
    }
    case "speakersResumed":
      return entry("emergency", kind.value.expired ? "The pause has expired" : "The pause was lifted");
    case "floorRevoked": {
      const { userId, channelId, cause, byUserId } = kind.value;
      const by = byUserId === "" ? "" : ` (${byUserId})`;
      return entry("floor", `${userId} loses the floor of ${channelId}: ${CAUSES[cause] ?? "unknown cause"}${by}`);
    }
    case "userBanned": {
      const { ban } = kind.value;
      return entry("floor", `${ban?.userId ?? "A user"} is banned${ban?.reason ? `: ${ban.reason}` : ""}`);
    }
    case "userUnbanned":
      return entry("routine", `The ban of ${kind.value.userId} ${kind.value.expired ? "has expired" : "was lifted"}`);
    case "userDisconnected":
      return entry("routine", `${kind.value.userId} is disconnected: ${kind.value.reason}`);
    default:
      return undefined;
  }
}
