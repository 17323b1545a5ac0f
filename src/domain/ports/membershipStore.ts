import type { UserBan } from "../ban.js";
import type { LogPosition, Position } from "../cursor.js";
import type { MembershipLimit } from "../errors.js";
import type { SpeakerPause } from "../floor.js";
import type { WriteOutcome } from "./writeOutcome.js";

/** The full list of one user's channels in one event, with its place in the order of writes. */
export interface MembershipUpdate {
  userId: string;
  channelIds: string[];
  action: string;
  actor: string;
  position: Position;
  /** True if a reconcile derived it from the control plane's keys. A membership written over RPC then stays as it is. */
  isReconciled?: boolean;
  /** Digest of the control plane's set of the user, if the set is older than this update. */
  staleKey?: string;
}

export interface MembershipOutcome {
  /**
   * `changed`: the update made a new revision. `unchanged`: the channels stayed the same, and its position was stored. `stale`: a
   * write at the same or a later position was there before, and nothing was written.
   */
  status: "changed" | "unchanged" | "stale";
  /** The revision of the user's newest change, 0 if there was none. */
  revision: number;
  added: string[];
  removed: string[];
  /** Channels that were left out because another event owns them. */
  foreignChannelIds: string[];
  /**
   * The limit that excluded the user or a channel. `users_per_event`: the user was new to a full event, and nothing was written.
   * `channels_per_user`: the list was too long, and only those of its channels were kept that the user had before.
   */
  overLimit?: MembershipLimit | undefined;
}

export interface SetUserChannelsWrite {
  eventId: string;
  userId: string;
  channelIds: string[];
  action: string;
  actor: string;
  onlyIfUnknown: boolean;
  /** Write only if the revision of the user's newest change is still this one. */
  ifRevision?: number | undefined;
}

/** The revision is that of the user's newest change. */
export interface SetUserChannelsOutcome extends WriteOutcome {
  added: string[];
  removed: string[];
  superseded: boolean;
}

/** All channels that a sync assigns to a user. */
export interface UserChannels {
  userId: string;
  channelIds: string[];
}

/** The memberships of a whole event. No user is named twice. */
export interface MemberSync {
  eventId: string;
  users: readonly UserChannels[];
  actor: string;
}

/** The revision is that of the event after the last change. */
export interface MemberSyncOutcome extends WriteOutcome {
  /** How many users changed. */
  changedUsers: number;
  /** How many of the changed users lost all channels because the sync did not name them. */
  revokedUsers: number;
}

/** One user's permissions in one event, as the store keeps them. */
export interface StoredPermissions {
  channelIds: string[];
  /** The log position at which they are true; undefined for an event that was never written or watched. */
  position?: LogPosition | undefined;
  /** The revision of the user's newest change, 0 if there was none in this epoch. */
  userRevision: number;
  /** True if the user has ever had an entry in the event. */
  known: boolean;
  pause?: SpeakerPause | undefined;
  /** The user's ban, if one is in effect in the event. */
  ban?: UserBan | undefined;
}

export interface MembershipStore {
  /**
   * Applies updates of one event in their order, in one step. Returns one outcome for each. No limit prevents an update
   * from removing channels.
   */
  applyMemberships(eventId: string, updates: readonly MembershipUpdate[]): Promise<MembershipOutcome[]>;
  /**
   * Replaces one user's channels at a new ticket. Rejects with `failedPrecondition` if another event owns a channel or the
   * user's newest change has another revision than `ifRevision`, and
   * with `resourceExhausted` if a limit is exceeded: the user is new to a full event, or gains channels by a list that is
   * too long. A rejected write changes nothing.
   */
  setUserChannels(write: SetUserChannelsWrite): Promise<SetUserChannelsOutcome>;
  /**
   * Replaces the memberships of a whole event in one step, at a new ticket. Users who are not named lose all channels.
   * Updates from before the ticket are no longer applied to any user of the event. Rejects with `failedPrecondition` if
   * another event owns a channel, and with `resourceExhausted` if a user would have too many channels or the event too
   * many users. A rejected sync changes nothing.
   */
  syncMembers(sync: MemberSync): Promise<MemberSyncOutcome>;
  readUserPermissions(eventId: string, userId: string): Promise<StoredPermissions>;
}
