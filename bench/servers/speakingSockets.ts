import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { batchesOf } from "../../src/lib/batchesOf.js";
import { signToken } from "../../test/support/clients/wsClient.js";
import { waitFor } from "../../test/support/waitFor.js";
import { monotonicUs } from "../support/clock.js";

const CONNECTING_AT_ONCE = 20;
const ASKING_AT_ONCE = 50;
const TIMEOUT_MS = 20_000;
const RETRY_MS = 100;

/** The state of a client, and the frames that it has received. */
interface SpeakingClient {
  socket: WebSocket;
  channelId: string;
  /** The frame that the client waits for. */
  awaited: ((frame: string) => void) | undefined;
}

/** When each client was notified that it lost its floor, and how many clients were notified more than once. */
export interface Interruptions {
  /** Times of the notifications, µs of `monotonicUs`, unordered. */
  atUs: readonly number[];
  /** The number of clients that were not notified. */
  missing: number;
  repeated: number;
}

/** WebSocket clients of several routers. Each one is a user who speaks on a channel of its own. */
export class SpeakingSockets {
  readonly #clients: SpeakingClient[];
  #atUs = new Map<SpeakingClient, number>();
  #repeated = 0;

  private constructor(clients: SpeakingClient[]) {
    this.#clients = clients;
    for (const client of clients) client.socket.on("message", (data) => this.#receive(client, String(data)));
  }

  /** Connects that many clients, distributed over the routers, and makes each of them join its channel. */
  static async connect(
    wsAddresses: readonly string[],
    jwtSecret: string,
    eventId: string,
    count: number,
  ): Promise<SpeakingSockets> {
    const clients: SpeakingClient[] = [];
    for (let first = 0; first < count; first += CONNECTING_AT_ONCE) {
      const indexes = Array.from({ length: Math.min(CONNECTING_AT_ONCE, count - first) }, (_, index) => first + index);
      const opened = indexes.map(async (index) => {
        const channelId = `${eventId}-channel-${index}`;
        const token = await signToken(jwtSecret, { userId: `user-${index}`, eventId, channelIds: [channelId] });
        const socket = new WebSocket(`ws://${wsAddresses[index % wsAddresses.length]}/ws`, ["voiceping", token]);
        await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
        return { socket, channelId, awaited: undefined };
      });
      clients.push(...(await Promise.all(opened)));
    }
    const sockets = new SpeakingSockets(clients);
    await sockets.#askAll("join-channel");
    return sockets;
  }

  /** Makes every client take the floor of its channel. Rejects if one of them does not get it. */
  async speak(): Promise<void> {
    await this.#askAll("ptt-start");
    this.#atUs = new Map();
    this.#repeated = 0;
  }

  /** Waits until every client was interrupted and until frames in transit have arrived. */
  async interruptions(timeoutMs: number): Promise<Interruptions> {
    const all = this.#clients.length;
    await waitFor(() => this.#atUs.size === all, { timeoutMs }).catch(() => undefined);
    // When this is answered, all frames that the router sent before have arrived.
    await Promise.all(this.#clients.map((client) => this.#ask(client, "ping")));
    return { atUs: [...this.#atUs.values()], missing: all - this.#atUs.size, repeated: this.#repeated };
  }

  close(): void {
    for (const { socket } of this.#clients) socket.terminate();
  }

  #receive(client: SpeakingClient, frame: string): void {
    if (frame.startsWith('{"type":"ptt-interrupted"')) {
      if (this.#atUs.has(client)) this.#repeated += 1;
      else this.#atUs.set(client, monotonicUs());
    } else if (frame.includes('"id":"asked"')) client.awaited?.(frame);
  }

  // A few at a time: a router gives up a call that is not answered in 1.5 s.
  async #askAll(type: string): Promise<void> {
    for (const asking of batchesOf(this.#clients, ASKING_AT_ONCE)) {
      await Promise.all(asking.map((client) => this.#askUntilDone(client, type)));
    }
  }

  async #askUntilDone(client: SpeakingClient, type: string): Promise<void> {
    const deadlineMs = performance.now() + TIMEOUT_MS;
    for (;;) {
      const answer = await this.#ask(client, type);
      if (answer.includes('"success":true')) return;
      if (performance.now() >= deadlineMs) throw new Error(`${type} was refused: ${answer}`);
      await sleep(RETRY_MS);
    }
  }

  #ask(client: SpeakingClient, type: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${type} was not answered`)), TIMEOUT_MS);
      client.awaited = (frame) => {
        clearTimeout(timer);
        resolve(frame);
      };
      client.socket.send(JSON.stringify({ type, id: "asked", data: { channelId: client.channelId } }));
    });
  }
}
