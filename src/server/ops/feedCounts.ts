import { SnapshotReason } from "../../../gen/squelch/v1/permission_service_pb.js";

/** Counts of the feeds and watchers of one replica since its start. They are plain numbers, because counting must be fast. */
export class FeedCounts {
  /** Open watches. */
  watchers = 0;
  /** Messages written to watchers. */
  deliveries = 0;
  /** Changes in those messages. */
  deliveredChanges = 0;
  /** Events that a watch resumed from its cursor. */
  resumes = 0;
  /** Snapshots that were started for a watcher, by reason. */
  readonly snapshots: Record<SnapshotReason, number> = {
    [SnapshotReason.UNSPECIFIED]: 0,
    [SnapshotReason.INITIAL]: 0,
    [SnapshotReason.CURSOR_TOO_OLD]: 0,
    [SnapshotReason.STORE_RESET]: 0,
  };
  /** Published entries that did not follow the newest one. The feed then read the log. */
  gaps = 0;
  /** Reloads of loaded events: because of a new epoch, or of a gap that the log could not fill. */
  readonly reloads = { epoch: 0, log: 0 };
  /** Called at each flush with the age of its oldest change since the store accepted it, s. */
  readonly observeLag: (seconds: number) => void;

  constructor(observeLag: (seconds: number) => void = () => undefined) {
    this.observeLag = observeLag;
  }
}
