import type { Scope } from "../../domain/identity.js";
import type { MethodName, RequestOf } from "../contract.js";

/** The right that a method requires. */
export interface Right<Request> {
  /** The caller needs one of these scopes, or `admin`. */
  scopes: readonly Scope[] | ((request: Request) => readonly Scope[]);
  /** Returns the events of a request. The caller must have access to each. For a client stream it runs for each message. */
  events?: (request: Request) => readonly string[];
  /** Returns the channel of a request. The caller must have access to the event that owns it. */
  channel?: (request: Request) => string;
  /** True if the method affects all events. Callers who are limited to some events may not call it. */
  isFleetWide?: boolean;
}

const ofEvent = ({ eventId }: { eventId: string }) => [eventId];
const ofChannel = ({ channelId }: { channelId: string }) => channelId;
const ofCursors = ({ cursors }: { cursors: { eventId: string }[] }) => cursors.map(({ eventId }) => eventId);

/**
 * The right that each method requires, for the gRPC server and the HTTP server alike. A method without an entry does not
 * compile.
 *
 * A router needs `watch` and `floor`. With them it can also seed channels and users that were never written before. A
 * router with dispatchers among its clients needs `pause` too.
 */
export const rights: { readonly [Name in MethodName]: Right<RequestOf<Name>> } = {
  // An empty list watches all events that the caller has access to.
  watchPermissions: { scopes: ["watch"], events: ({ eventIds }) => eventIds },
  // A caller who replaces channels reads them first.
  getUserPermissions: { scopes: ["watch", "assign"], events: ofEvent },
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
  // In the legacy layout a ban is in effect in every event.
  banUser: { scopes: ["admin"], isFleetWide: true },
  unbanUser: { scopes: ["admin"], isFleetWide: true },
  listBans: { scopes: ["watch"], isFleetWide: true },
  reportApplied: { scopes: ["watch"], events: ofCursors },
  // Every caller who can make a change may wait for routers to apply it.
  awaitApplied: { scopes: ["watch", "assign", "pause"], events: ofEvent },
  getFleetStatus: { scopes: ["watch"], isFleetWide: true },
  // An empty list lists the entries of all events that the caller has access to.
  listAuditEntries: { scopes: ["assign", "pause"], events: ({ eventIds }) => eventIds },
  // The call may move the channel away from another event.
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
