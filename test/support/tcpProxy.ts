import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** One direction of every connection. */
export type Direction = "toServer" | "toClient";

/** A disturbance of the bytes of one direction. The other end does not notice it at once. */
export type Trouble =
  /** The bytes wait, and arrive completely at `heal`. */
  | { kind: "held" }
  /** The bytes are dropped, as by a firewall that has lost the connection. `heal` then breaks the connection. */
  | { kind: "swallowed" }
  | { kind: "delayed"; byMs: number }
  | { kind: "throttled"; bytesPerSecond: number };

/** A TCP proxy on a free port of 127.0.0.1 in front of one server. */
export interface TcpProxy {
  readonly port: number;
  /** The number of present connections through the proxy. */
  readonly connections: number;
  /** Breaks all connections. New ones pass. */
  cut(): void;
  /** Breaks all connections, and each new one until `heal`. */
  refuse(): void;
  /** Disturbs a direction of all connections, including new ones, until `heal`. */
  trouble(direction: Direction, trouble: Trouble): void;
  /** Lets everything pass again. */
  heal(): void;
  close(): Promise<void>;
}

const THROTTLE_STEP_MS = 20;
/** The most bytes that wait in one direction before the sender is blocked. */
const MAX_WAITING_BYTES = 64 << 10;

// The bytes of one direction of one connection. The end of the connection passes in order with the bytes.
class Pipe {
  readonly #to: Socket;
  readonly #from: Socket;
  readonly #waiting: (Buffer | "end")[] = [];
  #waitingBytes = 0;
  #trouble: Trouble | undefined;
  #timer: NodeJS.Timeout | undefined;
  hasSwallowed = false;

  constructor(from: Socket, to: Socket, trouble: Trouble | undefined) {
    this.#from = from;
    this.#to = to;
    this.set(trouble);
    from.on("data", (bytes) => this.#take(bytes));
    from.on("end", () => this.#take("end"));
    to.on("drain", () => from.resume());
    from.on("close", () => clearInterval(this.#timer));
  }

  set(trouble: Trouble | undefined): void {
    clearInterval(this.#timer);
    this.#trouble = trouble;
    if (trouble?.kind === "throttled") {
      const step = Math.max(1, Math.round((trouble.bytesPerSecond * THROTTLE_STEP_MS) / 1_000));
      this.#timer = setInterval(() => this.#passUpTo(step), THROTTLE_STEP_MS);
    } else if (trouble === undefined) {
      this.#passUpTo(Number.POSITIVE_INFINITY);
    }
  }

  #take(bytes: Buffer | "end"): void {
    switch (this.#trouble?.kind) {
      case "swallowed":
        this.hasSwallowed = true;
        return;
      case "held":
      case "throttled":
        this.#put(bytes);
        if (this.#waitingBytes > MAX_WAITING_BYTES) this.#from.pause();
        return;
      case "delayed":
        this.#put(bytes);
        setTimeout(() => this.#passUpTo(bytes.length), this.#trouble.byMs);
        return;
      case undefined:
        this.#put(bytes);
        this.#passUpTo(Number.POSITIVE_INFINITY);
    }
  }

  #put(bytes: Buffer | "end"): void {
    this.#waiting.push(bytes);
    if (bytes !== "end") this.#waitingBytes += bytes.length;
  }

  #passUpTo(limit: number): void {
    let room = limit;
    while (room > 0) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      if (next !== "end" && next.length > room) {
        this.#waiting.unshift(next.subarray(room));
        this.#pass(next.subarray(0, room));
        return;
      }
      room -= next === "end" ? 0 : next.length;
      this.#pass(next);
    }
  }

  #pass(bytes: Buffer | "end"): void {
    if (bytes !== "end") this.#waitingBytes -= bytes.length;
    const isTaken = this.#to.destroyed || (bytes === "end" ? this.#to.end() : this.#to.write(bytes));
    if (!isTaken) this.#from.pause();
    else if (this.#waitingBytes === 0) this.#from.resume();
  }
}

/**
 * Starts a proxy.
 *
 * @param targetPort the port of the server on 127.0.0.1, read for each connection; without a port the connection is refused
 */
export async function startTcpProxy(targetPort: () => number | undefined): Promise<TcpProxy> {
  const pairs = new Set<{ pipes: Record<Direction, Pipe>; isBroken(): boolean; sever(): void }>();
  const troubles: Partial<Record<Direction, Trouble>> = {};
  let isRefusing = false;

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const port = isRefusing ? undefined : targetPort();
    if (port === undefined) {
      client.destroy();
      return;
    }
    const upstream = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const sever = () => {
      pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    const pair = {
      isBroken: () => client.destroyed || upstream.destroyed,
      pipes: {
        toServer: new Pipe(client, upstream, troubles.toServer),
        toClient: new Pipe(upstream, client, troubles.toClient),
      },
      sever,
    };
    pairs.add(pair);
    // While bytes are dropped, the end of the connection is dropped, too.
    const isSilent = (direction: Direction) => troubles[direction]?.kind === "swallowed";
    // A broken connection is closed after the error.
    client.on("error", () => undefined).on("close", () => isSilent("toServer") || sever());
    upstream.on("error", () => undefined).on("close", () => isSilent("toClient") || sever());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("A TCP server has an address of host and port");

  const cut = () => {
    for (const { sever } of [...pairs]) sever();
  };
  return {
    port: address.port,
    get connections() {
      return pairs.size;
    },
    cut,
    refuse() {
      isRefusing = true;
      cut();
    },
    trouble(direction, trouble) {
      troubles[direction] = trouble;
      for (const { pipes } of pairs) pipes[direction].set(trouble);
    },
    heal() {
      isRefusing = false;
      for (const direction of ["toServer", "toClient"] as const) {
        if (troubles[direction] === undefined) continue;
        delete troubles[direction];
        for (const { pipes, isBroken, sever } of [...pairs]) {
          if (pipes[direction].hasSwallowed || isBroken()) sever();
          else pipes[direction].set(undefined);
        }
      }
    },
    async close() {
      cut();
      server.close();
      await once(server, "close");
    },
  };
}
