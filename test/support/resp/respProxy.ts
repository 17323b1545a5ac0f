import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { parseCommand, RespScanner } from "./respScanner.js";

/** A command on its way to Redis. */
export interface RespCommand {
  /** In lower case, for example `evalsha`. */
  name: string;
  /** The words after the name. */
  args: readonly Buffer[];
  /** The name that the client has set with CLIENT SETNAME; empty if none. */
  connection: string;
}

/** Answers commands in place of the server. */
export interface Refusal {
  /**
   * `before`: the server never gets the command. `after`: the server executes it, and its reply is replaced. A command
   * without a single reply, such as a subscription, passes.
   */
  when: "before" | "after";
  /** The error, without `-` and line break; undefined lets a command through. */
  answer(command: RespCommand): string | undefined;
}

/** A proxy on a free port of 127.0.0.1 that understands the Redis protocol. */
export interface RespProxy {
  readonly port: number;
  /** How often the clients were answered with each error, its own and the server's, by {@link errorCodeOf}. */
  readonly errors: ReadonlyMap<string, number>;
  /** Rejects commands on existing and new connections. Returns a function that ends this; idempotent. */
  refuse(refusal: Refusal): () => void;
  /** Breaks all connections. New ones pass. */
  cut(): void;
  /** Ends all rejections. */
  heal(): void;
  close(): Promise<void>;
}

/** Commands after which the server sends messages without a request, in an order that the proxy cannot predict. */
const PUSHING = new Set(["subscribe", "psubscribe", "ssubscribe", "monitor", "psync", "sync"]);

/** The replies that the client waits for, in the order of its commands. */
type Expected =
  /** The server's next reply; replaced if there is an answer. */
  | { kind: "reply"; answer?: string }
  /** An answer of the proxy's own. */
  | { kind: "own"; answer: string }
  /** All bytes that the server sends from now on. */
  | { kind: "pushes" };

const KNOWN_CODE =
  /\b(LOADING|BUSY|OOM|NOREPLICAS|READONLY|MISCONF|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|NOPERM|NOAUTH|WRONGPASS|NOSCRIPT)\b/;

/** Returns the code of an error, wherever it is in the text; otherwise the first words after the prefix of a script. */
export function errorCodeOf(text: string): string {
  const said = text.replace(/^ERR (user_script:\d+: |Error running script .*?: -)/, "");
  return KNOWN_CODE.exec(text)?.[1] ?? said.split(" ").slice(0, 4).join(" ");
}

// The connection of one client, and its connection to the server.
class Conversation {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #answerTo: (command: RespCommand) => Expected;
  readonly #countError: (text: string) => void;
  readonly #requests = new RespScanner();
  readonly #replies = new RespScanner();
  #request: Buffer[] = [];
  #expected: Expected[] = [];
  #hasPushes = false;
  #connection = "";

  constructor(
    client: Socket,
    server: Socket,
    answerTo: (command: RespCommand) => Expected,
    countError: (text: string) => void,
  ) {
    this.#client = client;
    this.#server = server;
    this.#answerTo = answerTo;
    this.#countError = countError;
    client.on("data", (bytes) => this.#takeRequests(bytes)).on("end", () => server.end());
    server.on("data", (bytes) => this.#takeReplies(bytes)).on("end", () => client.end());
    client.on("drain", () => server.resume());
    server.on("drain", () => client.resume());
  }

  #takeRequests(bytes: Buffer): void {
    this.#server.cork();
    let at = 0;
    while (at < bytes.length && !this.#hasPushes) {
      const { end, isComplete } = this.#requests.scan(bytes, at);
      this.#request.push(bytes.subarray(at, end));
      at = end;
      if (!isComplete) break;
      const request = Buffer.concat(this.#request);
      this.#request = [];
      this.#takeRequest(request);
    }
    if (at < bytes.length) this.#toServer(bytes.subarray(at));
    this.#server.uncork();
    this.#answer();
  }

  #takeRequest(request: Buffer): void {
    const [word = Buffer.alloc(0), ...args] = parseCommand(request);
    const name = word.toString("latin1").toLowerCase();
    const isNaming = name === "client" && args[0]?.toString().toLowerCase() === "setname";
    if (isNaming) this.#connection = args[1]?.toString() ?? "";
    const expected = this.#answerTo({ name, args, connection: this.#connection });
    const isRefused = expected.kind === "own" || (expected.kind === "reply" && expected.answer !== undefined);
    this.#hasPushes = PUSHING.has(name) && !isRefused;
    this.#expected.push(this.#hasPushes ? { kind: "pushes" } : expected);
    if (expected.kind !== "own") this.#toServer(request);
  }

  #takeReplies(bytes: Buffer): void {
    this.#client.cork();
    let at = 0;
    while (at < bytes.length) {
      const [next] = this.#expected;
      // Before the first command a server may only reject the connection.
      if (next?.kind !== "reply") {
        if (next === undefined && bytes[at] === "-".charCodeAt(0)) this.#countError(bytes.toString("utf8", at + 1));
        this.#toClient(bytes.subarray(at));
        break;
      }
      const { end, isComplete } = this.#replies.scan(bytes, at);
      if (next.answer === undefined) this.#toClient(bytes.subarray(at, end));
      at = end;
      if (!isComplete) break;
      const { head } = this.#replies;
      // A push message of RESP3 between replies answers no command.
      if (head.startsWith(">")) continue;
      this.#expected.shift();
      if (next.answer !== undefined) this.#sayError(next.answer);
      else if (head.startsWith("-")) this.#countError(head.slice(1));
      this.#answer();
    }
    this.#client.uncork();
  }

  // Sends the proxy's own answers that are next in order.
  #answer(): void {
    while (this.#expected[0]?.kind === "own") this.#sayError(this.#expected.shift() as { answer: string });
  }

  #sayError(error: string | { answer: string }): void {
    const text = typeof error === "string" ? error : error.answer;
    this.#countError(text);
    this.#toClient(Buffer.from(`-${text}\r\n`));
  }

  #toServer(bytes: Buffer): void {
    if (!this.#server.destroyed && !this.#server.write(bytes)) this.#client.pause();
  }

  #toClient(bytes: Buffer): void {
    if (!this.#client.destroyed && !this.#client.write(bytes)) this.#server.pause();
  }
}

/**
 * Starts a proxy. It passes published messages unchanged, and replies of any size as they arrive.
 *
 * @param targetPort the port of the server on 127.0.0.1, read for each connection; without a port the connection is refused
 */
export async function startRespProxy(targetPort: () => number | undefined): Promise<RespProxy> {
  const refusals = new Set<Refusal>();
  const errors = new Map<string, number>();
  const pairs = new Set<() => void>();

  const answerTo = (command: RespCommand): Expected => {
    for (const { when, answer } of refusals) {
      if (when === "after" && PUSHING.has(command.name)) continue;
      const text = answer(command);
      if (text !== undefined) return { kind: when === "before" ? "own" : "reply", answer: text };
    }
    return { kind: "reply" };
  };
  const countError = (text: string) => {
    // The commands with which a client introduces itself are optional.
    if (text.startsWith("ERR unknown subcommand")) return;
    const code = errorCodeOf(text);
    errors.set(code, (errors.get(code) ?? 0) + 1);
  };

  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const port = targetPort();
    if (port === undefined) {
      client.destroy();
      return;
    }
    const server = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const sever = () => {
      pairs.delete(sever);
      client.destroy();
      server.destroy();
    };
    pairs.add(sever);
    new Conversation(client, server, answerTo, countError);
    // A broken connection is closed after the error.
    for (const socket of [client, server]) socket.on("error", () => undefined).on("close", sever);
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const address = listener.address();
  if (address === null || typeof address === "string") throw new Error("A TCP server has an address of host and port");

  const cut = () => {
    for (const sever of [...pairs]) sever();
  };
  return {
    port: address.port,
    errors,
    refuse(refusal) {
      // Two rejections with equal fields are still two.
      const own = { ...refusal };
      refusals.add(own);
      return () => void refusals.delete(own);
    },
    cut,
    heal: () => refusals.clear(),
    async close() {
      cut();
      listener.close();
      await once(listener, "close");
    },
  };
}
