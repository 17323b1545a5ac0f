import { Redis } from "ioredis";
import { afterEach, describe, expect, it } from "vitest";
import { assignedChannelsKey, MEMBERSHIP_UPDATES } from "../../../src/engine/redis/keys.js";
import { methods } from "../../support/clients/methods.js";
import { connect, watchOn } from "../../support/clients/watchClient.js";
import { applyRights, denials, withUser } from "../../support/redis/aclLines.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const { listAuditEntries, pauseAllSpeakers, reconcileMemberships } = methods;

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function startServer(): Promise<RedisServer> {
  const redis = await startRedis();
  closers.push(() => redis.stop());
  return redis;
}

describe("a replica with only the rights in docs/operations.md", () => {
  it.each(["one Redis", "a Redis for the state and one for the control plane"])(
    "applies updates, pauses, reconciles and records calls, with %s",
    async (kind) => {
      const isApart = kind !== "one Redis";
      const state = await startServer();
      const source = isApart ? await startServer() : state;
      await applyRights(state, isApart ? "acl-cluster" : "acl");
      if (isApart) await applyRights(source, "acl-ingest");
      const replica = await startSquelch({
        redisUrl: withUser(state.url, "squelch"),
        ...(isApart && { redisLayout: "cluster", ingestRedisUrl: withUser(source.url, "ingest") }),
      });
      closers.push(() => replica.close());
      const client = connect(replica.grpcAddress);
      closers.push(() => client.close());
      const watch = watchOn(client, { eventIds: ["festival"] });
      closers.push(() => watch.close());
      await watch.caughtUp();

      const controlPlane = new Redis(source.url);
      closers.push(() => controlPlane.disconnect());
      const publish = (userId: string, ...channelIds: string[]) =>
        controlPlane.publish(MEMBERSHIP_UPDATES, JSON.stringify({ eventId: "festival", userId, channelIds }));
      await publish("anna", "stage");
      await waitFor(() => watch.picture.changes.length === 1);
      await controlPlane.sadd(assignedChannelsKey("anna"), "stage");
      await client.unary(pauseAllSpeakers, { eventId: "festival", reason: "fire", requestId: "r" });
      await waitFor(() => watch.picture.changes.length === 2);
      await client.unary(reconcileMemberships, {});
      await waitFor(async () => (await client.unary(listAuditEntries, {})).entries.length > 0);
      expect([...(await denials(state)), ...(await denials(source))]).toEqual([]);
    },
  );
});
