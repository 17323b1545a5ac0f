import type { StreamSource, WebSocketSource } from "../clients/receiverProtocol.js";

/** A process whose CPU time counts for the path. */
export interface PathServer {
  name: string;
  pid: number;
}

export type PathSource = StreamSource | WebSocketSource;

/** A path of a change to many receivers: that of Squelch or that of a peer. */
export interface Path {
  readonly name: string;
  /** The processes that a message passes through. Receivers are connected to the last one. */
  readonly servers: readonly PathServer[];
  /** Prepares an event. Call it before the first receiver or message of that event. */
  prepare?(eventId: string): Promise<void>;
  source(eventId: string, receivers: number, connections: number): PathSource | Promise<PathSource>;
  /** Sends a message without waiting. */
  publish(eventId: string, sequence: number): void;
  /** Resolves when every published message has been accepted. Rejects if one was rejected. */
  settle(): Promise<void>;
  close(): Promise<void>;
}
