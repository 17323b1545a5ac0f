import type { FeedHealth } from "../../domain/ports/engine.js";
import type { Logger } from "../../lib/logger.js";
import { Connections } from "./connection/connections.js";
import { Subscriber } from "./connection/subscriber.js";
import { Probe } from "./ingest/probe.js";
import { Tickets } from "./ingest/tickets.js";
import { createWriteProof } from "./ingest/writeProof.js";
import { createScriptRunner, type RunScript, type ScriptObserver } from "./scripts/scripts.js";

/**
 * What a process has of one Redis: the connections to it, and the proof that it takes writes and that what is published
 * there arrives here.
 */
export class RedisLink {
  readonly connections: Connections;
  readonly subscriber: Subscriber;
  readonly run: RunScript;
  readonly tickets: Tickets;
  readonly probe: Probe;

  /**
   * @param observeScript told of each run of a script
   * @param holdsState whether it holds the state, so that every kind of write has to succeed there, not only tickets
   * @param prefix of the names of the connections
   * @throws as `Connections`
   */
  constructor(url: string, observeScript: ScriptObserver, logger: Logger, holdsState: boolean, prefix = "") {
    this.connections = new Connections(url, logger, prefix);
    this.subscriber = new Subscriber(this.connections.subscriptions, logger);
    const { commands } = this.connections;
    this.run = createScriptRunner(commands, observeScript);
    this.tickets = new Tickets(this.run);
    const proveWrites = holdsState ? createWriteProof(commands, this.run) : async () => undefined;
    this.probe = new Probe(this.tickets, proveWrites, this.subscriber, logger);
  }

  /** Whether the way to this Redis and back is proven. */
  health(): FeedHealth {
    const problem = this.connections.unfitReason;
    return problem === undefined ? this.probe.health() : { ...this.probe.health(), healthy: false, problem };
  }

  /** Resolves and rejects as `start` of {@link Connections} does. */
  async start(): Promise<void> {
    this.probe.start();
    this.connections.commands.on("ready", () => this.probe.probeNow());
    await this.connections.start();
  }

  close(): void {
    this.probe.stop();
    this.connections.close();
  }
}
