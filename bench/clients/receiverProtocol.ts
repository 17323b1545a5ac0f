interface Endpoint {
  host: string;
  port: number;
  /** What messages are published in: an event, or for a peer what tells one run's from another's. */
  eventId: string;
  receivers: number;
}

/** Receivers that take bytes off a socket and do no more than they must. */
export type StreamSource =
  /** Each on a connection of its own: two subscriptions to one channel on one connection are one. */
  | (Endpoint & { kind: "redis" })
  /** Streams or subscriptions that share connections. `bare` is the writer of the bench, which sends the same messages. */
  | (Endpoint & {
      kind: "squelch" | "bare" | "nats" | "natsKv" | "etcd";
      connections: number;
      /** Of Squelch: where to go on; a snapshot comes first without it. */
      cursor?: { epoch: string; revision: number };
    });

export interface WebSocketClient {
  url: string;
  protocols: string[];
}

/** Clients of a router, one a user, of whom each message concerns one: together they are one receiver. */
export interface WebSocketSource {
  kind: "webSockets";
  eventId: string;
  clients: readonly WebSocketClient[];
  receivers: 1;
}

/** Where receivers get messages from. */
export type Source =
  | StreamSource
  | WebSocketSource
  /** `PermissionClient`s, named by their prefix and number. */
  | { kind: "routers"; addresses: readonly string[]; eventIds: readonly string[]; prefix: string; receivers: number };

/** A time that a router spent without a stream. */
export interface RouterAbsence {
  receiver: number;
  awayMs: number;
  /** When it was over, ms of an arbitrary clock. */
  overAtMs: number;
  /** Events of which a snapshot came instead of a resume. */
  snapshots: number;
}

/** What the process of the receivers is asked. Each request is answered before the next is sent. */
export type ReceiverRequest =
  | { type: "readClock" }
  /** Answered when every receiver is caught up; messages with sequences from 0 to `sequences` - 1 are then noted. */
  | { type: "open"; source: Source; sequences: number }
  /** Answered when that many messages have arrived in all, or after the time is up. */
  | { type: "await"; messages: number; timeoutMs: number }
  /** Closes all receivers and answers with what they noted. */
  | { type: "collect" };

export type ReceiverAnswer =
  | { type: "clock"; atUs: number }
  | { type: "done" }
  | { type: "collected"; receipts: Receipts }
  | { type: "failed"; message: string };

/** What arrived. */
export interface Receipts {
  /** When each message arrived, µs of `monotonicUs`, 0 if it did not; at [sequence × receivers + receiver]. */
  receivedAtUs: Float64Array;
  /** Messages that arrived at a receiver more than once. */
  repeated: number;
  /** Messages of which another receiver had a different one at that place. */
  disordered: number;
  /** Users in all snapshots. */
  snapshotUsers: number;
  /** Of routers: each time without a stream that is over. */
  absences: RouterAbsence[];
}

const ACTION_PREFIX = "sequence:";

/**
 * An update as the control plane publishes it, for a user and channels of which nothing is known elsewhere. Its action
 * carries its number in the order of publishing, so that receipts can name it.
 */
export function sequencedUpdate(eventId: string, sequence: number): string {
  return JSON.stringify({
    eventId,
    userId: `user-${sequence}`,
    channelIds: [`${eventId}-channel-1`, `${eventId}-channel-2`],
    action: `${ACTION_PREFIX}${sequence}`,
  });
}

/**
 * The same for one of many events, with users who come again and are each time assigned other channels than before.
 *
 * @param users how many each event has
 */
export function rotatingUpdate(eventIds: readonly string[], users: number, sequence: number): string {
  const turn = Math.floor(sequence / eventIds.length);
  const eventId = eventIds[sequence % eventIds.length];
  const round = Math.floor(turn / users);
  return JSON.stringify({
    eventId,
    userId: `user-${turn % users}`,
    channelIds: [`${eventId}-channel-${round % 3}`, `${eventId}-channel-3`],
    action: `${ACTION_PREFIX}${sequence}`,
  });
}

/** The number that an action carries; undefined if none. */
export function sequenceOf(action: string): number | undefined {
  return action.startsWith(ACTION_PREFIX) ? Number(action.slice(ACTION_PREFIX.length)) : undefined;
}
