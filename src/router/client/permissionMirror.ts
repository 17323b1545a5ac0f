import type {
  EventChanges,
  GetUserPermissionsResponse,
  Snapshot,
} from "../../../gen/squelch/v1/permission_service_pb.js";
import { SnapshotReason } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { Cursor } from "../../domain/cursor.js";
import type { SpeakerPause } from "../../domain/floor.js";
import { diffChannels } from "../../domain/membership.js";
import { denyCauseOf, revokeCauseOf } from "../../wire/floorEnums.js";
import { banOf, msOf, pauseOf, speakerOf } from "./convert.js";
import { changeNotices, type Notice } from "./permissionEvents.js";

type Change = EventChanges["changes"][number];
type Payload<Case> = Extract<Change["kind"], { case: Case }> extends { value: infer Value } ? Value : never;

interface LogPlace {
  epoch: string;
  revision: number;
}

interface MirroredUser extends LogPlace {
  channelIds: string[];
  disconnectedAtMs: number;
}

interface EventMirror {
  /** Undefined before the first snapshot. Until then the state comes from heartbeats only. */
  cursor: LogPlace | undefined;
  users: Map<string, MirroredUser>;
  pause: SpeakerPause | undefined;
  pauseKnownAt: LogPlace;
}

const NOWHERE: LogPlace = { epoch: "", revision: -1 };

/** The replica sent messages that break the rules of the stream, so the mirror may be incomplete. */
export class WatchViolation extends Error {
  override readonly name = "WatchViolation";

  constructor(
    message: string,
    readonly eventId: string,
  ) {
    super(message);
  }
}

// True if `known` is at least as new as `place`. Places in different epochs cannot be compared: then it is false.
function isAtOrAfter(known: LogPlace, place: LogPlace): boolean {
  return known.epoch === place.epoch && known.revision >= place.revision;
}

/**
 * The permissions that this router knows, in memory. It has no connections and timers. Each method first changes the state
 * and then returns the events to emit.
 */
export class PermissionMirror {
  readonly #events = new Map<string, EventMirror>();

  /** Returns the channels of a user; undefined if the user is unknown. */
  channelIds(eventId: string, userId: string): string[] | undefined {
    return this.#events.get(eventId)?.users.get(userId)?.channelIds;
  }

  /** Returns the current pause of an event; undefined if the event is not paused. */
  pause(eventId: string): SpeakerPause | undefined {
    return this.#events.get(eventId)?.pause;
  }

  /** Returns the position up to which the stream has delivered; undefined before the first snapshot of the event. */
  cursor(eventId: string): Cursor | undefined {
    const cursor = this.#events.get(eventId)?.cursor;
    return cursor && { eventId, ...cursor };
  }

  /** Returns the positions from which to resume the events. */
  cursors(): Cursor[] {
    return [...this.#events.keys()].flatMap((eventId) => this.cursor(eventId) ?? []);
  }

  /** Replaces the state of an event by a snapshot. Ignores a snapshot that is older than the known state. */
  applySnapshot(snapshot: Pick<Snapshot, "eventId" | "users" | "pause" | "reason">, place: LogPlace): Notice[] {
    const { eventId, reason } = snapshot;
    const event = this.#event(eventId);
    const wasReset = reason === SnapshotReason.STORE_RESET;
    if (!wasReset && event.cursor?.epoch === place.epoch && event.cursor.revision > place.revision) return [];
    const before = event.users;
    const after = new Map<string, MirroredUser>();
    const notices: Notice[] = [];
    const put = (userId: string, channelIds: string[], disconnectedAtMs: number) => {
      const known = before.get(userId);
      const isNewer = !wasReset && known?.epoch === place.epoch && known.revision > place.revision;
      const user = isNewer ? known : { ...place, channelIds, disconnectedAtMs };
      after.set(userId, user);
      notices.push(...differences(eventId, userId, known, user, "snapshot"));
    };
    for (const user of snapshot.users) put(user.userId, user.channelIds, msOf(user.disconnectedAt));
    for (const [userId, known] of before) {
      if (after.has(userId)) continue;
      put(userId, [], known.disconnectedAtMs);
      // The store does not know this user. A router may read the user again or seed the channels.
      if (after.get(userId) !== known) after.delete(userId);
    }
    event.users = after;
    event.cursor = place;
    if (wasReset || !isAtOrAfter(event.pauseKnownAt, place)) {
      notices.push(...this.#setPause(eventId, event, snapshot.pause && pauseOf(snapshot.pause), place));
    }
    notices.push({ name: "resynced", arguments: [{ eventId }] });
    return notices;
  }

  /**
   * Applies one change. Ignores a change that is already known.
   *
   * @throws WatchViolation if the change is not the next one of the log
   */
  applyChange(eventId: string, epoch: string, change: Change): Notice[] {
    const event = this.#event(eventId);
    const place = { epoch, revision: Number(change.revision) };
    if (event.cursor?.epoch !== epoch) {
      throw new WatchViolation(`changes of epoch "${epoch}" without a snapshot`, eventId);
    }
    if (place.revision <= event.cursor.revision) return [];
    if (place.revision !== event.cursor.revision + 1) {
      throw new WatchViolation(`revision ${place.revision} after ${event.cursor.revision}`, eventId);
    }
    event.cursor = place;
    switch (change.kind.case) {
      case "membershipChanged":
        return this.#changeMembership(eventId, event, change.kind.value, place);
      case "speakersPaused":
        return this.#pauseSpeakers(eventId, event, change.kind.value, place);
      case "speakersResumed":
        return this.#resumeSpeakers(eventId, event, change.kind.value, place);
      case "floorRevoked": {
        const { channelId, userId, cause, byUserId, startedAt } = change.kind.value;
        const startedAtMs = msOf(startedAt);
        const revocation = {
          eventId,
          channelId,
          userId,
          startedAtMs,
          cause: revokeCauseOf(cause) ?? "other",
          byUserId,
        };
        return [{ name: "floorRevoked", arguments: [revocation] }];
      }
      case "floorRequestGranted": {
        const { value } = change.kind;
        const { channelId, sessionId, queueId, leaseId, talkUntil } = value;
        const terms = { sessionId, queueId, leaseId, talkUntilMs: msOf(talkUntil) };
        return [{ name: "floorGranted", arguments: [{ eventId, channelId, speaker: speakerOf(value), ...terms }] }];
      }
      case "floorRequestDenied": {
        const { channelId, userId, sessionId, queueId, cause } = change.kind.value;
        const denial = {
          eventId,
          channelId,
          userId,
          sessionId,
          queueId,
          cause: denyCauseOf(cause) ?? ("other" as const),
        };
        return [{ name: "floorDenied", arguments: [denial] }];
      }
      case "userDisconnected": {
        const { userId, reason } = change.kind.value;
        const user = event.users.get(userId);
        if (user) user.disconnectedAtMs = Math.max(user.disconnectedAtMs, msOf(change.time));
        return [{ name: "disconnect", arguments: [{ eventId, userId, reason, connectedBeforeMs: Infinity }] }];
      }
      case "userBanned": {
        const { ban } = change.kind.value;
        return ban === undefined ? [] : [{ name: "banned", arguments: [{ eventId, ban: banOf(ban) }] }];
      }
      case "userUnbanned": {
        const { userId, expired } = change.kind.value;
        return [{ name: "unbanned", arguments: [{ eventId, userId, expired }] }];
      }
      case undefined:
        // A kind of change that a newer replica has added.
        return [];
    }
  }

  /**
   * Merges the answer of a heartbeat about one user. Ignores an answer that is older than the known state.
   *
   * @param askedIn the epoch of the event when the heartbeat was sent. An answer in a new epoch counts only if the stream
   * is still in this epoch
   */
  mergeAnswer(
    eventId: string,
    userId: string,
    answer: GetUserPermissionsResponse,
    askedIn: string | undefined,
  ): Notice[] {
    const event = this.#event(eventId);
    const place = { epoch: answer.cursor?.epoch ?? "", revision: Number(answer.cursor?.revision ?? 0) };
    const isOfKnownEpoch = event.cursor?.epoch === place.epoch;
    if (!isOfKnownEpoch && event.cursor?.epoch !== askedIn) return [];
    if (isOfKnownEpoch && event.cursor && place.revision < event.cursor.revision) return [];
    const notices: Notice[] = [];
    const known = event.users.get(userId);
    if (!(known && isAtOrAfter(known, place))) {
      const user = { ...place, channelIds: answer.channelIds, disconnectedAtMs: known?.disconnectedAtMs ?? 0 };
      if (answer.known) event.users.set(userId, user);
      else event.users.delete(userId);
      notices.push(...differences(eventId, userId, known, user, "heartbeat"));
    }
    if (!isAtOrAfter(event.pauseKnownAt, place)) {
      notices.push(...this.#setPause(eventId, event, answer.pause && pauseOf(answer.pause), place));
    }
    return notices;
  }

  #event(eventId: string): EventMirror {
    let event = this.#events.get(eventId);
    if (event === undefined) {
      event = { cursor: undefined, users: new Map(), pause: undefined, pauseKnownAt: NOWHERE };
      this.#events.set(eventId, event);
    }
    return event;
  }

  #changeMembership(
    eventId: string,
    event: EventMirror,
    payload: Payload<"membershipChanged">,
    place: LogPlace,
  ): Notice[] {
    const { userId, channelIds, action } = payload;
    const known = event.users.get(userId);
    if (known && isAtOrAfter(known, place)) return [];
    event.users.set(userId, { ...place, channelIds, disconnectedAtMs: known?.disconnectedAtMs ?? 0 });
    const { added, removed } = diffChannels(known?.channelIds ?? [], channelIds);
    return changeNotices({ eventId, userId, channelIds, added, removed, action, revision: place.revision });
  }

  #pauseSpeakers(eventId: string, event: EventMirror, payload: Payload<"speakersPaused">, place: LogPlace): Notice[] {
    if (payload.pause === undefined)
      throw new WatchViolation("the pause of a speakers_paused change is missing", eventId);
    const pause = pauseOf(payload.pause);
    // A pause of duration 0 takes floors away but does not change the current pause.
    if (pause.expiresAtMs > pause.startedAtMs && !isAtOrAfter(event.pauseKnownAt, place)) {
      event.pause = pause;
      event.pauseKnownAt = place;
    }
    return [{ name: "paused", arguments: [{ eventId, pause, cut: payload.cut.map(speakerOf) }] }];
  }

  #resumeSpeakers(eventId: string, event: EventMirror, payload: Payload<"speakersResumed">, place: LogPlace): Notice[] {
    if (isAtOrAfter(event.pauseKnownAt, place)) return [];
    const { pauseId, expired } = payload;
    const pause = event.pause?.pauseId === pauseId ? event.pause : undefined;
    if (pause) event.pause = undefined;
    event.pauseKnownAt = place;
    return [{ name: "resumed", arguments: [{ eventId, pauseId, expired, pause }] }];
  }

  #setPause(eventId: string, event: EventMirror, pause: SpeakerPause | undefined, place: LogPlace): Notice[] {
    const known = event.pause;
    event.pause = pause;
    event.pauseKnownAt = place;
    const notices: Notice[] = [];
    if (known?.pauseId === pause?.pauseId) return notices;
    if (known) {
      const expired = known.expiresAtMs <= Date.now();
      notices.push({ name: "resumed", arguments: [{ eventId, pauseId: known.pauseId, expired, pause: known }] });
    }
    if (pause) notices.push({ name: "paused", arguments: [{ eventId, pause, cut: [] }] });
    return notices;
  }
}

function differences(
  eventId: string,
  userId: string,
  before: MirroredUser | undefined,
  after: MirroredUser,
  action: string,
): Notice[] {
  const { channelIds, revision, disconnectedAtMs } = after;
  const { added, removed } = diffChannels(before?.channelIds ?? [], channelIds);
  const notices: Notice[] = [];
  if (added.length > 0 || removed.length > 0) {
    notices.push(...changeNotices({ eventId, userId, channelIds, added, removed, action, revision }));
  }
  if (disconnectedAtMs > (before?.disconnectedAtMs ?? 0)) {
    const reason = "You were disconnected";
    notices.push({ name: "disconnect", arguments: [{ eventId, userId, reason, connectedBeforeMs: disconnectedAtMs }] });
  }
  return notices;
}
