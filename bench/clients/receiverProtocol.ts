interface Endpoint {
  host: string;
  port: number;
  /** The scope of the messages: an event, or for a peer a name that distinguishes the runs. */
  eventId: string;
  receivers: number;
}

/** Receivers that read bytes from a socket and do as little as possible with them. */
export type StreamSource =
  /**
   * Gives each receiver its own connection, because two subscriptions to one channel on one connection count as one.
   */
  | (Endpoint & { kind: "redis" })
  /** Streams or subscriptions that share connections. `bare` is the writer of the bench, which sends the same messages. */
  | (Endpoint & {
      kind: "squelch" | "bare" | "nats" | "natsKv" | "etcd";
      connections: number;
      /** For Squelch: the cursor to resume from. Without it a snapshot is sent first. */
      cursor?: { epoch: string; revision: number };
    });

export interface WebSocketClient {
  url: string;
  protocols: string[];
}

/** Clients of a router, one per user. Each message concerns one client, so together they count as one receiver. */
export interface WebSocketSource {
  kind: "webSockets";
  eventId: string;
  clients: readonly WebSocketClient[];
  receivers: 1;
}

/** The source that receivers read messages from. */
export type Source =
  | StreamSource
  | WebSocketSource
  /** `PermissionClient`s, named by their prefix and number. */
  | { kind: "routers"; addresses: readonly string[]; eventIds: readonly string[]; prefix: string; receivers: number };

/** A period that a router spent without a stream. */
export interface RouterAbsence {
  receiver: number;
  awayMs: number;
  /** When the period ended, ms of an arbitrary clock. */
  overAtMs: number;
  /** The number of events that got a snapshot instead of a resume. */
  snapshots: number;
}

/** The requests to the process of the receivers. Each one is answered before the next is sent. */
export type ReceiverRequest =
  | { type: "readClock" }
  /** Answered when every receiver is caught up; messages with sequences from 0 to `sequences` - 1 are then noted. */
  | { type: "open"; source: Source; sequences: number }
  /** Answered when that many messages have arrived in all, or after the time is up. */
  | { type: "await"; messages: number; timeoutMs: number }
  /** Closes all receivers and answers with their records. */
  | { type: "collect" };

export type ReceiverAnswer =
  | { type: "clock"; atUs: number }
  | { type: "done" }
  | { type: "collected"; receipts: Receipts }
  | { type: "failed"; message: string };

/** The messages that arrived. */
export interface Receipts {
  /** When each message arrived, µs of `monotonicUs`, at [sequence × receivers + receiver]; 0 if it did not arrive. */
  receivedAtUs: Float64Array;
  /** The number of messages that arrived more than once at a receiver. */
  repeated: number;
  /** The number of messages that differ from what another receiver got at the same place. */
  disordered: number;
  /** The number of users in all snapshots. */
  snapshotUsers: number;
  /** For routers: each completed period without a stream. */
  absences: RouterAbsence[];
}

const ACTION_PREFIX = "sequence:";

/**
 * Creates an update as the control plane publishes it, for a user and channels that are used nowhere else. Its action
 * contains the number of the message, so that it can be identified when it arrives.
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
 * Creates an update for one of many events. Its users recur, and each time they get other channels than before.
 *
 * @param users the number of users of each event
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

/** Returns the number in an action; undefined if there is none. */
export function sequenceOf(action: string): number | undefined {
  return action.startsWith(ACTION_PREFIX) ? Number(action.slice(ACTION_PREFIX.length)) : undefined;
}
