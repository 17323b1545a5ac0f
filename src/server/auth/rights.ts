import type { Scope } from "../../domain/identity.js";
import type { MethodName, RequestOf } from "../contract.js";

/** What a call needs. */
export interface Right<Request> {
  /** One of these; `admin` will do for every call. */
  scopes: readonly Scope[] | ((request: Request) => readonly Scope[]);
  /** The events that it is about: each must be among those of the caller. Of a stream it is asked for each message. */
  events?: (request: Request) => readonly string[];
  /** The channel that it is about: the event that it belongs to must be among those of the caller. */
  channel?: (request: Request) => string;
  /** True if it is about all events at once, so that it is not for callers who are limited to some. */
  isFleetWide?: boolean;
}

const ofEvent = ({ eventId }: { eventId: string }) => [eventId];
const ofChannel = ({ channelId }: { channelId: string }) => channelId;
const ofCursors = ({ cursors }: { cursors: { eventId: string }[] }) => cursors.map(({ eventId }) => eventId);

/**
 * Who may do what: the one table for both servers. A call without an entry does not compile.
 *
 * A router has `watch` and `floor`: with those it also adopts what nobody has written before. One whose clients may be
 * dispatchers has `pause` too.
 */
export const rights: { readonly [Name in MethodName]: Right<RequestOf<Name>> } = {
  // An empty list watches those of the caller's events that there are.
  watchPermissions: { scopes: ["watch"], events: ({ eventIds }) => eventIds },
  getUserPermissions: { scopes: ["watch"], events: ofEvent },
  setUserChannels: {
    scopes: ({ onlyIfUnknown }) => (onlyIfUnknown ? ["assign", "floor"] : ["assign"]),
    events: ofEvent,
  },
  // The event may be left out after the first message.
  syncEventMembers: { scopes: ["assign"], events: ({ eventId }) => (eventId === "" ? [] : [eventId]) },
  reconcileMemberships: { scopes: ["admin"], isFleetWide: true },
  getEventActiveSpeakers: { scopes: ["watch", "pause"], events: ofEvent },
  pauseAllSpeakers: { scopes: ["pause"], events: ofEvent },
  resumeSpeakers: { scopes: ["pause"], events: ofEvent },
  disconnectUser: { scopes: ["assign", "pause"], events: ofEvent },
  // In the names that all routers share a ban holds in every event.
  banUser: { scopes: ["admin"], isFleetWide: true },
  unbanUser: { scopes: ["admin"], isFleetWide: true },
  listBans: { scopes: ["watch"], isFleetWide: true },
  reportApplied: { scopes: ["watch"], events: ofCursors },
  // Whoever changes something may ask whether it is in force.
  awaitApplied: { scopes: ["watch", "assign", "pause"], events: ofEvent },
  getFleetStatus: { scopes: ["watch"], isFleetWide: true },
  // Without events it lists those of the caller's events.
  listAuditEntries: { scopes: ["assign", "pause"], events: ({ eventIds }) => eventIds },
  // It may take the channel away from another event.
  setChannelEvent: {
    scopes: ({ onlyIfUnassigned }) => (onlyIfUnassigned ? ["assign", "floor"] : ["assign"]),
    events: ofEvent,
    channel: ofChannel,
  },
  getChannelEvent: { scopes: ["watch"], channel: ofChannel },
  listEventChannels: { scopes: ["watch"], events: ofEvent },
  startPtt: { scopes: ["floor"], channel: ofChannel },
  renewPtt: { scopes: ["floor"], channel: ofChannel },
  stopPtt: { scopes: ["floor"], channel: ofChannel },
  getChannelState: { scopes: ["watch", "floor"], channel: ofChannel },
  watchChannels: { scopes: ["watch"], events: ({ eventIds }) => eventIds },
};
