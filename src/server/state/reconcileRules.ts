/** What the state says of a user in one event. */
export interface AssignedEntry {
  eventId: string;
  channelIds: readonly string[];
  /** True if the newest write came over RPC: the control plane's keys say nothing of it. */
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
  const eventIds = new Set(channelIds.map(eventOf).filter((eventId) => eventId !== undefined));
  const [eventId] = eventIds;
  if (eventId === undefined) return ambiguous("none of its channels belongs to an event");
  if (eventIds.size > 1) return ambiguous("its channels belong to more than one event");
  const entry = entries.find((known) => known.eventId === eventId);
  if (entry?.isByRpc) return nothing;
  const wanted = [...new Set(channelIds)].sort();
  const isSame = entry?.wasKeySeen && wanted.join("\n") === entry.channelIds.join("\n");
  return isSame ? nothing : { kind: "write", eventId, channelIds: wanted };
}

function judgeAbsentKey(entries: readonly AssignedEntry[]): Verdict {
  const backed = entries.filter(({ isByRpc, channelIds }) => !isByRpc && channelIds.length > 0);
  const [entry] = backed;
  if (entry === undefined) return nothing;
  if (backed.length > 1) return ambiguous("there is no key, and the user has channels in more than one event");
  // A fleet may never have had these keys.
  if (!entry.wasKeySeen) return ambiguous("there is no key, and there never was one");
  return { kind: "write", eventId: entry.eventId, channelIds: [] };
}

function ambiguous(reason: string): Verdict {
  return { kind: "ambiguous", reason };
}
