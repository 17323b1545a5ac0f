import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { createLogger } from "../../../src/lib/logger.js";
import { startReferenceRouter } from "../../../src/router/index.js";
import { signToken, WsClient } from "../../support/clients/wsClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";

const SECRET = "the clients' secret";
const closers: (() => unknown)[] = [];
let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(() => redis.stop());

it("pitfall 38: a client with any name can press and declare an emergency", async () => {
  const replica = await startSquelch({ redisUrl: redis.url });
  closers.push(() => replica.close());
  const router = await startReferenceRouter({
    ...{ address: replica.grpcAddress, listen: "127.0.0.1:0", jwtSecret: SECRET },
    logger: createLogger("test", "silent"),
  });
  closers.push(() => router.close());
  const names = ["가".repeat(43), "Brandmeister ".repeat(11), "Anna\nB.", "a\tb", "\u202eanna", null, { a: 1 }, ""];
  for (const [index, userName] of names.entries()) {
    const userId = `${index}${"u".repeat(127)}`;
    const claims = { userId, eventId: "e1", userName, role: "DISPATCH", channelIds: ["a"] };
    const client = await WsClient.connect(router.wsAddress, await signToken(SECRET, claims));
    closers.push(() => client.socket.terminate());
    const channel = { channelId: "a" };
    const requests: [string, object?][] = [
      ["join-channel", channel],
      ["ptt-start", channel],
      ["ptt-stop", channel],
      ["emergency-broadcast-start"],
      ["emergency-broadcast-stop"],
      ["force-disconnect", { targetUserId: "nobody" }],
    ];
    for (const [type, data] of requests) {
      expect(await client.request(type, data), `${JSON.stringify(userName)} ${type}`).toMatchObject({
        data: { success: true },
      });
    }
  }
});
