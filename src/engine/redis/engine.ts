import type { Engine } from "../../domain/ports.js";
import type { Logger } from "../../lib/logger.js";
import { createChannelIndex } from "./channelIndex.js";
import { ConfirmedWrites } from "./confirmedWrites.js";
import { Connections } from "./connections.js";
import { type ControlPlane, createControlPlane } from "./controlPlane.js";
import { EventScripts } from "./eventScripts.js";
import { createFloorStore } from "./floorStore.js";
import { NEW_EVENTS } from "./keys.js";
import { createLogStore } from "./logStore.js";
import { createMembershipStore } from "./membershipStore.js";
import { Probe } from "./probe.js";
import { createScriptRunner, type ScriptErrors } from "./scripts.js";
import { Subscriber } from "./subscriber.js";
import { Tickets } from "./tickets.js";

/** How often `channel:events` is compared with the indexes of the events. */
const ADOPTION_INTERVAL_MS = 10_000;

export interface RedisEngineOptions {
  /** `redis://` or `rediss://`, with user, password and database where needed. */
  url: string;
  logger: Logger;
  /** Whether routers write the floor to Redis themselves, so that a pause must hold them back too. Default true. */
  legacyRouters?: boolean;
}

/** An engine on Redis, the subscriber that others may share, and what the control plane keeps there. */
export type RedisEngine = Engine & {
  readonly subscriber: Subscriber;
  readonly controlPlane: ControlPlane;
  readonly scriptErrors: ReadonlyMap<string, number>;
  /** Whether each connection is ready, by what it is for. */
  connectionStates(): ReadonlyMap<string, boolean>;
};

/** State, log and floor in a Redis that many replicas share. */
export function createRedisEngine({ url, logger, legacyRouters = true }: RedisEngineOptions): RedisEngine {
  const connections = new Connections(url, logger);
  const subscriber = new Subscriber(connections.subscriptions, logger);
  const scriptErrors: ScriptErrors = new Map();
  const run = createScriptRunner(connections.commands, scriptErrors);
  const tickets = new Tickets(run);
  const probe = new Probe(tickets, subscriber, logger);
  const scripts = new EventScripts(connections.commands, {
    legacyRouters,
    newestTicket: () => tickets.newest,
    errors: scriptErrors,
  });
  const confirmed = new ConfirmedWrites(connections.confirmed, scripts, logger);
  const urgent = new ConfirmedWrites(connections.urgent, scripts, logger);
  const index = createChannelIndex(connections.commands, scripts);
  let adoption: NodeJS.Timeout | undefined;

  // A Redis that evicts would forget rights and pauses without a word.
  const checkEviction = async () => {
    try {
      const policy = /maxmemory_policy:(\S+)/.exec(await connections.commands.info("memory"))?.[1];
      if (policy !== "noeviction") logger.warn({ policy }, "redis may evict keys; set maxmemory-policy to noeviction");
    } catch (error) {
      logger.warn({ err: error }, "redis could not be asked for its maxmemory-policy");
    }
  };

  const registerAgain = (eventId: string) => {
    scripts.registerAgain(eventId).catch((error: unknown) => logger.warn({ err: error, eventId }, "event not listed"));
  };

  const adoptForeignChannels = () => {
    index.adoptForeignChannels().catch((error: unknown) => logger.debug({ err: error }, "channels not compared"));
  };

  return {
    ...createLogStore(connections.commands, scripts, subscriber),
    ...createMembershipStore(scripts, confirmed),
    ...index,
    ...createFloorStore(scripts, urgent, index, subscriber),
    subscriber,
    controlPlane: createControlPlane(connections.commands, run, tickets),
    scriptErrors,
    connectionStates: () => connections.states(),

    async start() {
      probe.start();
      connections.commands.on("ready", () => void checkEviction());
      subscriber.subscribeWhenConnected(NEW_EVENTS, (eventId) => registerAgain(eventId.toString()));
      subscriber.listen({
        restored: () => {
          scripts.forgetRegistered();
          adoptForeignChannels();
        },
      });
      adoption = setInterval(adoptForeignChannels, ADOPTION_INTERVAL_MS);
      await connections.start();
    },

    async close() {
      probe.stop();
      clearInterval(adoption);
      connections.close();
    },

    feedHealth: () => probe.health(),
    onFeedRestored: (listener) => subscriber.listen({ restored: listener }),
  };
}
