import { digestKey } from "./staleKeys.js";

/** The stored state of a user in one event. */
export interface AssignedEntry {
  eventId: string;
  channelIds: readonly string[];
  /** True if the newest write came over RPC. The control plane's keys contain nothing about it. */
  isByRpc: boolean;
  /** True if an earlier reconcile found the control plane's set of this user, for this event, with channels in it. */
  wasKeySeen: boolean;
  /** Digest of the control plane's set, if the set was older than the newest write. */
  staleKey?: string;
}

/** The decision of a reconcile about one user. */
export type Verdict =
  | { kind: "write"; eventId: string; channelIds: string[] }
  | { kind: "nothing" }
  /** The evidence is not clear, so the state does not change. */
  | { kind: "ambiguous"; reason: string };

const STALE_KEY = "its set is older than its newest update, Redis has rejected the write of the set";
const nothing: Verdict = { kind: "nothing" };

/**
 * Compares the control plane's set of a user's channels with the state. The set holds the channels of a single event,
 * which was recomputed last. So it contains nothing about the user's other events.
 *
 * @param channelIds the set; empty if there is no key
 * @param eventOf returns the event that a channel belongs to
 * @param entries the user's entries in all events
 */
export function judgeUser(
  channelIds: readonly string[],
  eventOf: (channelId: string) => string | undefined,
  entries: readonly AssignedEntry[],
): Verdict {
  if (channelIds.length === 0) return judgeAbsentKey(entries);
  const eventIds = new Set(channelIds.map(eventOf));
  const [eventId] = eventIds;
  // Two concurrent recomputes can mix two events in one set: a channel without an owner may belong to another event.
  if (eventId === undefined || eventIds.has(undefined)) return ambiguous("a channel of the set belongs to no event");
  if (eventIds.size > 1) return ambiguous("its channels belong to more than one event");
  const entry = entries.find((known) => known.eventId === eventId);
  if (entry?.isByRpc) return nothing;
  if (entry !== undefined && isStale(channelIds, entry)) return ambiguous(STALE_KEY);
  // Written even if nothing differs: the write raises the position, so that an older update that arrives later
  // cannot win.
  return { kind: "write", eventId, channelIds: [...new Set(channelIds)].sort() };
}

function judgeAbsentKey(entries: readonly AssignedEntry[]): Verdict {
  const [entry, ...others] = entries;
  const isAtStake = entries.some(({ isByRpc, channelIds }) => !isByRpc && channelIds.length > 0);
  // The missing key may mean that the user has no channels in the event that was recomputed last.
  if (others.length > 0) {
    return isAtStake ? ambiguous("there is no key, and the user is known in more than one event") : nothing;
  }
  if (entry === undefined || entry.isByRpc) return nothing;
  if (isStale([], entry)) return ambiguous(STALE_KEY);
  // The fleet may never have had these keys.
  if (!entry.wasKeySeen) return isAtStake ? ambiguous("there is no key, and there never was a key") : nothing;
  return { kind: "write", eventId: entry.eventId, channelIds: [] };
}

// True if the set has not changed since it was found to be older than the newest write.
function isStale(channelIds: readonly string[], { staleKey }: AssignedEntry): boolean {
  return staleKey !== undefined && staleKey === digestKey(channelIds);
}

function ambiguous(reason: string): Verdict {
  return { kind: "ambiguous", reason };
}
