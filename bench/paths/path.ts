import type { StreamSource, WebSocketSource } from "../clients/receiverProtocol.js";

/** A process whose CPU the path costs. */
export interface PathServer {
  name: string;
  pid: number;
}

export type PathSource = StreamSource | WebSocketSource;

/** A way for a change to get to many receivers: Squelch's, or that of a peer. */
export interface Path {
  readonly name: string;
  /** All that a message goes through; the last is the one that receivers are connected to. */
  readonly servers: readonly PathServer[];
  /** To be called before anybody receives or publishes in that event. */
  prepare?(eventId: string): Promise<void>;
  source(eventId: string, receivers: number, connections: number): PathSource | Promise<PathSource>;
  /** Sends a message; waits for nothing. */
  publish(eventId: string, sequence: number): void;
  /** Resolves when everything published has been taken; rejects if something was refused. */
  settle(): Promise<void>;
  close(): Promise<void>;
}
