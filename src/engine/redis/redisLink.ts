import type { FeedHealth } from "../../domain/ports/engine.js";
import type { Logger } from "../../lib/logger.js";
import { Connections } from "./connection/connections.js";
import { Subscriber } from "./connection/subscriber.js";
import { Probe } from "./ingest/probe.js";
import { Tickets } from "./ingest/tickets.js";
import { createWriteProof } from "./ingest/writeProof.js";
import { createScriptRunner, type RunScript, type ScriptObserver } from "./scripts/scripts.js";

/**
 * The connections of a process to one Redis, and the proof that this Redis accepts writes and that published messages
 * arrive here.
 */
export class RedisLink {
  readonly connections: Connections;
  readonly subscriber: Subscriber;
  readonly run: RunScript;
  readonly tickets: Tickets;
  readonly probe: Probe;

  /**
   * @param observeScript receives each run of a script
   * @param holdsState true if this Redis holds the state, so that every kind of write has to succeed there; otherwise
   * only tickets have to
   * @param prefix of the names of the connections
   * @throws SquelchError as the constructor of {@link Connections} does
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

  /** Returns whether this Redis accepts writes and its messages arrive here. */
  health(): FeedHealth {
    const problem = this.connections.unfitReason;
    return problem === undefined ? this.probe.health() : { ...this.probe.health(), healthy: false, problem };
  }

  /** Resolves and rejects as `start` of {@link Connections} does. */
  async start(): Promise<void> {
    this.probe.start();
    // A connection that has just been lost or restored shows at once whether Redis still accepts writes.
    for (const event of ["ready", "close"]) this.connections.commands.on(event, () => this.probe.probeNow());
    await this.connections.start();
  }

  close(): void {
    this.probe.stop();
    this.connections.close();
  }
}
