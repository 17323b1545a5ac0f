import { type Checkpoint, FloorDenyCause, FloorRevokeCause } from "../../../gen/squelch/v1/model_pb.js";
import {
  type Change,
  type Snapshot,
  SnapshotReason,
  type WatchPermissionsResponse,
} from "../../../gen/squelch/v1/permission_service_pb.js";
import { describeBan, describePause, formatCount, formatIds, formatTime } from "../output/describe.js";
import { type Output, printable } from "../output/output.js";

/**
 * Returns a function that prints the messages of a watch for people: one line for each snapshot and change. It prints the
 * first checkpoint, and later checkpoints if the health of the feed has changed.
 */
export function createNarrator(output: Output): (response: WatchPermissionsResponse) => Promise<void> {
  const { bold, dim, green, red } = output.colors;
  const users = new Map<string, number>();
  let feedHealthy: boolean | undefined;

  const printSnapshot = async (snapshot: Snapshot) => {
    const { eventId } = snapshot;
    const count = (snapshot.chunkIndex === 0 ? 0 : (users.get(eventId) ?? 0)) + snapshot.users.length;
    users.set(eventId, count);
    if (!snapshot.complete) return;
    users.delete(eventId);
    const reason = describeName(SnapshotReason[snapshot.reason]);
    const pause = snapshot.pause === undefined ? "" : `, ${describePause(snapshot.pause)}`;
    const picture = `at revision ${snapshot.cursor?.revision ?? 0}: ${formatCount(count, "user")}${pause}`;
    await output.line(`${bold(printable(eventId))} snapshot (${reason}) ${printable(picture)}`);
  };

  const printCheckpoint = async (checkpoint: Checkpoint) => {
    if (checkpoint.feedHealthy === feedHealthy) return;
    const caughtUp =
      feedHealthy === undefined ? `caught up with ${formatCount(checkpoint.cursors.length, "event")}, ` : "";
    feedHealthy = checkpoint.feedHealthy;
    const feed = feedHealthy ? green("feed healthy") : red("feed not healthy: changes may be missing");
    await output.line(`${dim(caughtUp)}${feed}`);
  };

  return async ({ payload }) => {
    switch (payload.case) {
      case "snapshot":
        return printSnapshot(payload.value);
      case "checkpoint":
        return printCheckpoint(payload.value);
      case "changes":
        for (const change of payload.value.changes) {
          const at = dim(`#${change.revision} ${formatTime(change.time)}`);
          const by = dim(printable(`by ${change.actor || "-"}`));
          await output.line(
            `${bold(printable(payload.value.eventId))} ${at} ${printable(describeChange(change))} ${by}`,
          );
        }
    }
  };
}

/** Describes a change in words. The text may have unprintable characters. */
export function describeChange({ kind }: Change): string {
  switch (kind.case) {
    case "membershipChanged": {
      const { userId, channelIds, added, removed } = kind.value;
      const difference = [...added.map((id) => `+${id}`), ...removed.map((id) => `-${id}`)].join(" ");
      return `${userId} now has ${formatIds(channelIds)} (${difference})`;
    }
    case "speakersPaused": {
      const cut = kind.value.cut.map((speaker) => `${speaker.userId} on ${speaker.channelId}`);
      const pause = kind.value.pause === undefined ? "paused" : describePause(kind.value.pause);
      const { replacedPauseId } = kind.value;
      const replaced = replacedPauseId === "" ? "" : `, replaces ${replacedPauseId}`;
      return `${pause}${replaced}, cut: ${formatIds(cut)}`;
    }
    case "speakersResumed":
      return `pause ${kind.value.pauseId} ${kind.value.expired ? "expired" : "was lifted"}`;
    case "floorRevoked": {
      const { channelId, userId, cause, byUserId } = kind.value;
      const why = describeName(FloorRevokeCause[cause]);
      return `${userId} lost the floor of ${channelId}: ${why}${byUserId === "" ? "" : ` for ${byUserId}`}`;
    }
    case "floorRequestGranted": {
      const { channelId, userId } = kind.value;
      return `${userId} waited and now has the floor of ${channelId}`;
    }
    case "floorRequestDenied": {
      const { channelId, userId, cause } = kind.value;
      return `${userId} stopped waiting for the floor of ${channelId}: ${describeName(FloorDenyCause[cause])}`;
    }
    case "userDisconnected":
      return `${kind.value.userId} is disconnected (${kind.value.reason || "no reason given"})`;
    case "userBanned":
      return kind.value.ban === undefined ? "a user is banned" : describeBan(kind.value.ban);
    case "userUnbanned":
      return `the ban of ${kind.value.userId} ${kind.value.expired ? "expired" : "was lifted"}`;
    case undefined:
      return "a kind of change that this version does not know";
  }
}

// The name is undefined for an enum value that this version does not know.
function describeName(name = ""): string {
  return name.toLowerCase().replaceAll("_", " ");
}
