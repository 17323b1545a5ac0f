import { Connections } from "../../../src/engine/redis/connection/connections.js";
import { createRedisEngine } from "../../../src/engine/redis/engine.js";
import { ConfirmedWrites } from "../../../src/engine/redis/scripts/confirmedWrites.js";
import { EventScripts } from "../../../src/engine/redis/scripts/eventScripts.js";
import { createMembershipStore } from "../../../src/engine/redis/stores/membershipStore.js";
import { createLogger } from "../../../src/lib/logger.js";

/**
 * Creates an engine whose RPC writes take their tickets before the script runs, as if the counter were in another
 * Redis.
 *
 * @param onTicket called between ticket and script
 */
export function createEngineWithTicketsApart(
  url: string,
  onTicket: (ticket: number) => Promise<void> = async () => {},
) {
  const logger = createLogger("test", "silent");
  const engine = createRedisEngine({ url, logger });
  const connections = new Connections(url, logger);
  const scripts = new EventScripts(connections.commands, {
    legacyRouters: true,
    observeScript: () => undefined,
    newestTicket: () => 0,
  });
  const confirmed = new ConfirmedWrites(connections.confirmed, scripts, logger);
  const takeTicket = async (atLeast: number) => {
    if (engine.ingest === undefined) throw new Error("a Redis that is not a Cluster must have tickets");
    const ticket = await engine.ingest.controlPlane.takeTicket(atLeast);
    await onTicket(ticket);
    return ticket;
  };
  return {
    ...engine,
    ...createMembershipStore(scripts, confirmed, takeTicket),
    async start() {
      await Promise.all([engine.start(), connections.start()]);
    },
    async close() {
      connections.close();
      await engine.close();
    },
  };
}
