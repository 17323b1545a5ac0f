import { SignJWT } from "jose";
import { WebSocket } from "ws";
import { waitFor } from "../waitFor.js";

/** A frame as a client receives it. */
export interface ReceivedFrame {
  type: string;
  id?: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at whatever the frame has
  data?: any;
  error?: string;
}

/** Signs a client's token as the control plane does. */
export function signToken(secret: string, claims: Record<string, unknown>, expiresIn = "12h"): Promise<string> {
  const jwt = new SignJWT({ userName: String(claims.userId), globalRole: "NONE", role: "USER", ...claims });
  return jwt
    .setProtectedHeader({ alg: "HS256" })
    .setIssuedAt()
    .setExpirationTime(expiresIn)
    .sign(new TextEncoder().encode(secret));
}

/** A client of a router: sends requests and keeps all frames that it receives. */
export class WsClient {
  readonly frames: ReceivedFrame[] = [];
  closed: { code: number; reason: string } | undefined;
  #nextId = 1;

  private constructor(readonly socket: WebSocket) {
    socket.on("message", (data) => this.frames.push(JSON.parse(String(data))));
    socket.on("close", (code, reason) => {
      this.closed = { code, reason: String(reason) };
    });
  }

  /** Resolves with the first frame received. Rejects with the answer's status and text if the router refuses. */
  static async connect(wsAddress: string, token: string): Promise<WsClient> {
    const client = new WsClient(new WebSocket(`ws://${wsAddress}/ws`, ["voiceping", token]));
    await client.opened();
    await client.next("channel-list");
    return client;
  }

  /** A client for tests that open the connection themselves. */
  static on(socket: WebSocket): WsClient {
    return new WsClient(socket);
  }

  opened(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.once("open", resolve);
      this.socket.once("error", reject);
      this.socket.once("unexpected-response", (_request, response) => {
        let body = "";
        response.on("data", (chunk) => {
          body += String(chunk);
        });
        response.on("end", () => reject(new Error(`${response.statusCode} ${body.trim()}`)));
      });
    });
  }

  /** Sends a request and resolves with its reply, also if that is an error. */
  async request(type: string, data?: object): Promise<ReceivedFrame> {
    const id = `m${this.#nextId++}`;
    this.socket.send(JSON.stringify({ type, id, ...(data && { data }) }));
    return waitFor(() => this.frames.find((frame) => frame.id === id), { message: `a reply to ${type}` });
  }

  /** The frames of a type received so far. */
  of(type: string): ReceivedFrame[] {
    return this.frames.filter((frame) => frame.type === type);
  }

  /** Resolves with frame number `count` of the type as soon as it has arrived. */
  next(type: string, count = 1): Promise<ReceivedFrame> {
    return waitFor(() => this.of(type)[count - 1], {
      message: () => `${count} × ${type}; received ${JSON.stringify(this.frames)}`,
    });
  }

  async close(): Promise<void> {
    this.socket.close();
    await waitFor(() => this.closed, { message: "the socket to close" });
  }
}
