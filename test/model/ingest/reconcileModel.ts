import type { StoreModel } from "./storeModel.js";

/** The conclusion of a reconcile about one user: the channels in one event, or the reason why it does not change the user. */
export type Verdict =
  | { kind: "write"; eventId: string; channelIds: readonly string[] }
  | { kind: "kept"; reason: KeptReason; eventId?: string };

export type KeptReason =
  /** True if the newest write about the user came over RPC, which the keys do not contain. */
  | "over RPC"
  /** There is no key, and no reconcile has ever found one for the event. */
  | "key never seen"
  /** There is no key, and the user is known in several events: any of them may be the one that was emptied. */
  | "several events"
  /** Not all of the channels are known to belong to one event. */
  | "no single owner";

/** A user is known in an event, with channels or without. */
export interface Entry {
  eventId: string;
  /** True if a reconcile has ever found the user's key with channels of this event. */
  wasKeySeen: boolean;
}

/**
 * Compares a key of the control plane with the state. The key holds the channels of one event, which was recomputed
 * last.
 *
 * @param entries the events in which the user was known before the key was read
 * @param key empty if there is none
 */
export function judgeKey(
  store: StoreModel,
  userId: string,
  entries: readonly Entry[],
  key: readonly string[],
): Verdict {
  if (key.length > 0) {
    // A key may mix two events, so it does not show which event a channel belongs to.
    const isTeacher = store.flaws.has("keys teach channels");
    const known = isTeacher ? key.filter((channelId) => store.owners.has(channelId)) : key;
    const owners = new Set(known.map((channelId) => store.owners.get(channelId)));
    const [eventId] = owners;
    if (eventId === undefined || owners.size > 1) return { kind: "kept", reason: "no single owner" };
    return conclude(store, userId, eventId, key);
  }
  const overlooksEmptied = store.flaws.has("emptied entries overlooked");
  const candidates = overlooksEmptied ? entries.filter((entry) => hasChannels(store, userId, entry)) : entries;
  if (candidates.length > 1) return { kind: "kept", reason: "several events" };
  const [entry] = candidates;
  if (entry === undefined || !entry.wasKeySeen) return { kind: "kept", reason: "key never seen" };
  return conclude(store, userId, entry.eventId, []);
}

function hasChannels(store: StoreModel, userId: string, { eventId }: Entry): boolean {
  return (store.event(eventId).members.get(userId)?.channelIds ?? []).length > 0;
}

function conclude(store: StoreModel, userId: string, eventId: string, channelIds: readonly string[]): Verdict {
  const isKept = store.isWrittenByRpc(eventId, userId) && !store.flaws.has("rpc overwritten");
  return isKept ? { kind: "kept", reason: "over RPC", eventId } : { kind: "write", eventId, channelIds };
}
