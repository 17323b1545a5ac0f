import { SnapshotReason } from "../../../gen/squelch/v1/permission_service_pb.js";

/** What the feeds and the watchers of one replica have done since its start: plain numbers, so that counting is free. */
export class FeedCounts {
  /** Watches that are open. */
  watchers = 0;
  /** Messages written to watchers. */
  deliveries = 0;
  /** Changes in them. */
  deliveredChanges = 0;
  /** Events that a watch took up at its cursor. */
  resumes = 0;
  /** Snapshots that a watcher was begun to be sent. */
  readonly snapshots: Record<SnapshotReason, number> = {
    [SnapshotReason.UNSPECIFIED]: 0,
    [SnapshotReason.INITIAL]: 0,
    [SnapshotReason.CURSOR_TOO_OLD]: 0,
    [SnapshotReason.STORE_RESET]: 0,
  };
  /** Published entries that did not follow the newest one, so that the log was read. */
  gaps = 0;
  /** Loaded events whose state was read again: they had begun a new epoch, or the log could not bridge a gap. */
  readonly reloads = { epoch: 0, log: 0 };
  /** Told at each flush how long ago the store accepted the oldest change in it, s. */
  readonly observeLag: (seconds: number) => void;

  constructor(observeLag: (seconds: number) => void = () => undefined) {
    this.observeLag = observeLag;
  }
}
