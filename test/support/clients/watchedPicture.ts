import type { Checkpoint } from "../../../gen/squelch/v1/model_pb.js";
import {
  type Change,
  type EventChanges,
  type Snapshot,
  SnapshotReason,
  type WatchPermissionsResponse,
} from "../../../gen/squelch/v1/permission_service_pb.js";

/** The state of one event that a watcher has received. */
interface WatchedEvent {
  epoch: string;
  revision: number;
  users: Map<string, string[]>;
  pauseId: string | undefined;
}

/**
 * Combines the messages of one stream as a router would, and checks them: revisions ascend without gaps (G2), an epoch
 * changes only with a snapshot, and a checkpoint promises exactly what was delivered (pitfall 27). Throws if a promise
 * is broken.
 */
export class WatchedPicture {
  readonly events = new Map<string, WatchedEvent>();
  readonly changes: Change[] = [];
  readonly checkpoints: Checkpoint[] = [];
  readonly snapshotReasons: SnapshotReason[] = [];
  /** True if the watch is filtered by user, so that revisions may have gaps. */
  readonly isFiltered: boolean;
  readonly #partials = new Map<string, { users: Map<string, string[]>; nextChunk: number }>();

  constructor(options: { isFiltered?: boolean } = {}) {
    this.isFiltered = options.isFiltered ?? false;
  }

  /** Continues after an earlier stream, without known users. */
  resumeAt(eventId: string, { epoch, revision }: { epoch: string; revision: number }): void {
    this.events.set(eventId, { epoch, revision, users: new Map(), pauseId: undefined });
  }

  apply({ payload }: WatchPermissionsResponse): void {
    if (payload.case === "snapshot") this.#applySnapshot(payload.value);
    else if (payload.case === "changes") this.#applyChanges(payload.value);
    else if (payload.case === "checkpoint") this.#applyCheckpoint(payload.value);
    else throw new Error("a message without payload");
  }

  channelsOf(eventId: string, userId: string): string[] | undefined {
    return this.events.get(eventId)?.users.get(userId);
  }

  #applySnapshot({ eventId, cursor, users, pause, reason, complete, chunkIndex }: Snapshot): void {
    if (chunkIndex === 0) this.#partials.set(eventId, { users: new Map(), nextChunk: 0 });
    const partial = this.#partials.get(eventId);
    if (partial === undefined || partial.nextChunk++ !== chunkIndex)
      throw new Error(`chunk ${chunkIndex} out of order`);
    if (cursor === undefined || cursor.eventId !== eventId) throw new Error("a snapshot without its cursor");
    if (reason === SnapshotReason.UNSPECIFIED) throw new Error("a snapshot without a reason");
    for (const { userId, channelIds } of users) partial.users.set(userId, channelIds);
    if (!complete) return;
    const known = this.events.get(eventId);
    const revision = Number(cursor.revision);
    if (known?.epoch === cursor.epoch && revision < known.revision)
      throw new Error("a snapshot went back in its epoch");
    this.events.set(eventId, { epoch: cursor.epoch, revision, users: partial.users, pauseId: pause?.pauseId });
    this.snapshotReasons.push(reason);
    this.#partials.delete(eventId);
  }

  #applyChanges({ eventId, epoch, changes }: EventChanges): void {
    const event = this.events.get(eventId);
    if (event?.epoch !== epoch) throw new Error(`changes of epoch ${epoch} without a snapshot of it`);
    if (changes.length === 0) throw new Error("a batch without changes");
    for (const change of changes) {
      const revision = Number(change.revision);
      const follows = this.isFiltered ? revision > event.revision : revision === event.revision + 1;
      if (!follows) throw new Error(`revision ${revision} after ${event.revision}`);
      event.revision = revision;
      this.changes.push(change);
      const { kind } = change;
      if (kind.case === "membershipChanged") event.users.set(kind.value.userId, kind.value.channelIds);
      if (kind.case === "speakersPaused") event.pauseId = kind.value.pause?.pauseId;
      if (kind.case === "speakersResumed") event.pauseId = undefined;
    }
  }

  #applyCheckpoint(checkpoint: Checkpoint): void {
    for (const { eventId, epoch, revision } of checkpoint.cursors) {
      const event = this.events.get(eventId);
      if (event === undefined) throw new Error(`a checkpoint of "${eventId}" before its snapshot`);
      const isTrue =
        event.epoch === epoch && (this.isFiltered ? revision >= event.revision : Number(revision) === event.revision);
      if (!isTrue)
        throw new Error(`a checkpoint at ${epoch}/${revision} where ${event.epoch}/${event.revision} was delivered`);
      event.revision = Number(revision);
    }
    if (checkpoint.cursors.length !== this.events.size) throw new Error("a checkpoint that leaves out events");
    this.checkpoints.push(checkpoint);
  }
}
