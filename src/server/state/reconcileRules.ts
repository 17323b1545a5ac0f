/** What the state says of a user in one event. */
export interface AssignedEntry {
  eventId: string;
  channelIds: readonly string[];
  /** True if the newest word came over RPC: the control plane's keys say nothing of it. */
  isByRpc: boolean;
  /** True if an earlier reconcile found the control plane's set of this user, for this event, with channels in it. */
  wasKeySeen: boolean;
}

/** What a reconcile makes of one user. */
export type Verdict =
  | { kind: "write"; eventId: string; channelIds: string[] }
  | { kind: "nothing" }
  /** The evidence allows more than one reading: the state is kept. */
  | { kind: "ambiguous"; reason: string };

const nothing: Verdict = { kind: "nothing" };

/**
 * Compares the control plane's set of a user's channels with the state. The set holds the channels of a single event,
 * the one that was last recomputed, so that it says nothing of the user's other events.
 *
 * @param channelIds the set; empty if there is no key
 * @param eventOf the event that a channel belongs to
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
  // Two recomputes at once can mix two events in one set: a channel without an owner may be another event's.
  if (eventId === undefined || eventIds.has(undefined)) return ambiguous("a channel of the set belongs to no event");
  if (eventIds.size > 1) return ambiguous("its channels belong to more than one event");
  const entry = entries.find((known) => known.eventId === eventId);
  if (entry?.isByRpc) return nothing;
  // Also where nothing differs: it raises the position, so that an older update still on its way cannot undo it.
  return { kind: "write", eventId, channelIds: [...new Set(channelIds)].sort() };
}

function judgeAbsentKey(entries: readonly AssignedEntry[]): Verdict {
  const [entry, ...others] = entries;
  const isAtStake = entries.some(({ isByRpc, channelIds }) => !isByRpc && channelIds.length > 0);
  // The key may have spoken last of the event in which the user has no channels.
  if (others.length > 0) {
    return isAtStake ? ambiguous("there is no key, and the user is known in more than one event") : nothing;
  }
  if (entry === undefined || entry.isByRpc) return nothing;
  // A fleet may never have had these keys.
  if (!entry.wasKeySeen) return isAtStake ? ambiguous("there is no key, and there never was one") : nothing;
  return { kind: "write", eventId: entry.eventId, channelIds: [] };
}

function ambiguous(reason: string): Verdict {
  return { kind: "ambiguous", reason };
}
