import type { Engine } from "../../domain/ports.js";
import type { Logger } from "../../lib/logger.js";
import { createChannelIndex } from "./channelIndex.js";
import { Connections } from "./connections.js";
import { EventScripts } from "./eventScripts.js";
import { createFloorStore } from "./floorStore.js";
import { createLogStore } from "./logStore.js";
import { createMembershipStore } from "./membershipStore.js";
import { Probe } from "./probe.js";
import { createScriptRunner } from "./scripts.js";
import { Subscriber } from "./subscriber.js";

/** How long a pause or a revocation waits for a Redis replica. */
const REPLICATION_TIMEOUT_MS = 500;

/** How often `channel:events` is compared with the indexes of the events. */
const ADOPTION_INTERVAL_MS = 10_000;

export interface RedisEngineOptions {
  /** `redis://` or `rediss://`, with user, password and database where needed. */
  url: string;
  logger: Logger;
  /** Whether routers write the floor to Redis themselves, so that a pause must hold them back too. Default true. */
  legacyRouters?: boolean;
}

/** An engine on Redis, and the subscriber that others may share. */
export type RedisEngine = Engine & { readonly subscriber: Subscriber };

/** State, log and floor in a Redis that many replicas share. */
export function createRedisEngine({ url, logger, legacyRouters = true }: RedisEngineOptions): RedisEngine {
  const connections = new Connections(url, logger);
  const subscriber = new Subscriber(connections.subscriptions, logger);
  const run = createScriptRunner(connections.commands);
  const scripts = new EventScripts(run, legacyRouters);
  const confirmed = scripts.on(createScriptRunner(connections.confirmed));
  const probe = new Probe(run, subscriber, logger);
  const index = createChannelIndex(connections.commands, scripts);
  let adoption: NodeJS.Timeout | undefined;

  const awaitReplication = async (replicas: number) => {
    if (replicas === 0) return false;
    try {
      return (await connections.confirmed.wait(1, REPLICATION_TIMEOUT_MS)) > 0;
    } catch (error) {
      logger.warn({ err: error }, "waiting for a redis replica failed");
      return false;
    }
  };

  // A Redis that evicts would forget rights and pauses without a word.
  const checkEviction = async () => {
    try {
      const policy = /maxmemory_policy:(\S+)/.exec(await connections.commands.info("memory"))?.[1];
      if (policy !== "noeviction") logger.warn({ policy }, "redis may evict keys; set maxmemory-policy to noeviction");
    } catch (error) {
      logger.warn({ err: error }, "redis could not be asked for its maxmemory-policy");
    }
  };

  const adoptForeignChannels = () => {
    index.adoptForeignChannels().catch((error: unknown) => logger.debug({ err: error }, "channels not compared"));
  };

  return {
    ...createLogStore(connections.commands, scripts, subscriber),
    ...createMembershipStore(scripts, confirmed, awaitReplication),
    ...index,
    ...createFloorStore(scripts, confirmed, awaitReplication, index, subscriber),
    subscriber,

    async start() {
      probe.start();
      connections.commands.on("ready", () => void checkEviction());
      subscriber.listen({ restored: adoptForeignChannels });
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
