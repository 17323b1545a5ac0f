import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { MEMBERSHIP_UPDATES } from "../../src/engine/redis/keys.js";
import { endChild, startChild } from "../../test/support/childProcess.js";
import { signToken, WsClient } from "../../test/support/clients/wsClient.js";
import { startRedis } from "../../test/support/redis/startRedis.js";
import { spawnRouter } from "../../test/support/spawnRouter.js";
import { rotatingUpdate, type WebSocketClient } from "../clients/receiverProtocol.js";
import type { Path } from "./path.js";
import { startSquelchPath } from "./redis.js";

const SECRET = "bench";
const PROBE = "probe";
const PROBE_INTERVAL_MS = 100;
const PLAIN_ROUTER = fileURLToPath(new URL("../servers/plainRouter.ts", import.meta.url));

/** Starts a replica and the reference router. Measures from PUBLISH to `permission-update` on the user's WebSocket. */
export async function startReferenceRouterPath(users: number): Promise<Path> {
  const squelch = await startSquelchPath();
  const router = await spawnRouter("bench", [squelch.address], SECRET);
  const client = new Redis(squelch.redisUrl);
  const publish = (message: string) => client.publish(MEMBERSHIP_UPDATES, message);
  return {
    ...squelch,
    name: "Squelch and reference router",
    servers: [...squelch.servers, { name: "router", pid: router.pid }],
    async source(eventId) {
      await awaitRouter(router.wsAddress, eventId, publish);
      const clients = await Promise.all(
        Array.from({ length: users }, async (_, user): Promise<WebSocketClient> => {
          const token = await signToken(SECRET, { userId: `user-${user}`, eventId, channelIds: [] });
          return { url: `ws://${router.wsAddress}/ws`, protocols: ["voiceping", token] };
        }),
      );
      return { kind: "webSockets", eventId, clients, receivers: 1 };
    },
    publish: (eventId, sequence) => void publish(rotatingUpdate([eventId], users, sequence)),
    async close() {
      client.disconnect();
      await router.stop();
      await squelch.close();
    },
  };
}

/** Starts a router that subscribes to Redis itself. */
export async function startPlainRouterPath(users: number): Promise<Path> {
  const redis = await startRedis();
  const router = await startChild(process.execPath, ["--import", "tsx", PLAIN_ROUTER, redis.url], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(router.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
  const { wsAddress } = JSON.parse(line.toString()) as { wsAddress: string };
  const client = new Redis(redis.url);
  const clients = Array.from({ length: users }, (_, user) => ({
    url: `ws://${wsAddress}/?userId=user-${user}`,
    protocols: [],
  }));
  return {
    name: "plain router",
    servers: [
      { name: "Redis", pid: redis.pid },
      { name: "router", pid: router.pid as number },
    ],
    source: (eventId) => ({ kind: "webSockets", eventId, clients, receivers: 1 }),
    publish: (eventId, sequence) => void client.publish(MEMBERSHIP_UPDATES, rotatingUpdate([eventId], users, sequence)),
    settle: async () => void (await client.ping()),
    async close() {
      client.disconnect();
      await endChild(router, "SIGTERM");
      await redis.stop();
    },
  };
}

// Resolves when the router watches the event. It discovers the event itself, so the check is that one of its clients
// receives a change.
async function awaitRouter(wsAddress: string, eventId: string, publish: (message: string) => unknown): Promise<void> {
  const probe = await WsClient.connect(wsAddress, await signToken(SECRET, { userId: PROBE, eventId, channelIds: [] }));
  const isTold = () => probe.frames.some(({ type }) => type === "permission-update");
  for (let turn = 0; !isTold(); turn++) {
    publish(JSON.stringify({ eventId, userId: PROBE, channelIds: [`${eventId}-probe-${turn}`], action: PROBE }));
    await sleep(PROBE_INTERVAL_MS);
  }
  probe.socket.close();
}
