import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { describe, expect, it, type TestContext } from "vitest";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { createRedisEngine, type IngestSource } from "../../../src/engine/redis/engine.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import { createLogger } from "../../../src/lib/logger.js";
import type { Replica } from "../../../src/server/start.js";
import { connect, type WatchClient, watchOn } from "../../support/clients/watchClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { startTcpProxy } from "../../support/tcpProxy.js";
import { waitFor } from "../../support/waitFor.js";

/** A Redis of its own for each test, a control plane, and replicas. */
class Stage {
  readonly eventId = randomUUID();
  readonly #teardowns: (() => unknown)[] = [];

  private constructor(readonly redis: RedisServer) {}

  static async open(onTestFinished: TestContext["onTestFinished"]): Promise<Stage> {
    const stage = new Stage(await startRedis({ args: ["--save", "3600 1"] }));
    onTestFinished(async () => {
      for (const teardown of stage.#teardowns.reverse()) await teardown();
      await stage.redis.stop();
    });
    return stage;
  }

  atEnd(teardown: () => unknown): void {
    this.#teardowns.push(teardown);
  }

  channel(name: string): string {
    return `${this.eventId}-${name}`;
  }

  /** Acts like a control plane: writes the set in two steps, then publishes the message. */
  async assign(userId: string, names: string[]): Promise<string> {
    const { redis, eventId } = this;
    const channelIds = names.map((name) => this.channel(name));
    await redis.cli("DEL", `u.${userId}.g`);
    if (channelIds.length > 0) await redis.cli("SADD", `u.${userId}.g`, ...channelIds);
    return redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify({ eventId, userId, channelIds }));
  }

  async startReplica(redisUrl = this.redis.url): Promise<Replica> {
    const replica = await startSquelch({ redisUrl });
    this.atEnd(() => replica.close());
    return replica;
  }

  connect(replica: Replica): GrpcClient {
    const client = connect(replica.grpcAddress);
    this.atEnd(() => client.close());
    return client;
  }

  async watch(replica: Replica): Promise<WatchClient> {
    const opened = watchOn(this.connect(replica), {
      eventIds: [this.eventId],
      checkpointInterval: { seconds: 1n },
    });
    this.atEnd(() => opened.close());
    await opened.caughtUp();
    return opened;
  }

  async isCarried(): Promise<boolean> {
    return Date.now() - Number(await this.redis.cli("HGET", "squelch:ingest:applied", "generation")) < 4_000;
  }

  /** Resolves when the watermark is raised for the first time. */
  async firstWatermark(): Promise<void> {
    await waitFor(() => this.isCarried(), { timeoutMs: 15_000, message: "the first watermark" });
  }
}

const reconciled = (seen: WatchClient) => seen.picture.changes.filter(({ actor }) => actor === "reconcile");

describe.concurrent("updates that were published while no replica was subscribed", () => {
  it("is repaired from the control plane's keys: a grant, a revocation, and a last channel (pitfalls 2, 8)", async ({
    onTestFinished,
  }) => {
    const stage = await Stage.open(onTestFinished);
    const first = await stage.startReplica();
    await stage.assign("anna", ["a", "b"]);
    await stage.assign("ben", ["a"]);
    const seen = await stage.watch(first);
    await waitFor(() => seen.picture.channelsOf(stage.eventId, "ben"));
    await stage.firstWatermark();
    await first.close();

    await stage.assign("anna", ["b"]);
    await stage.assign("ben", []);
    await stage.assign("carl", ["b"]);
    const late = await stage.watch(await stage.startReplica());
    expect(late.picture.channelsOf(stage.eventId, "anna")).toEqual([stage.channel("a"), stage.channel("b")]);
    await waitFor(() => reconciled(late).length === 3, { timeoutMs: 15_000, message: "the reconcile" });
    expect(late.picture.channelsOf(stage.eventId, "anna")).toEqual([stage.channel("b")]);
    expect(late.picture.channelsOf(stage.eventId, "ben")).toEqual([]);
    expect(late.picture.channelsOf(stage.eventId, "carl")).toEqual([stage.channel("b")]);
    await waitFor(() => stage.isCarried());
  }, 60_000);

  it("does not touch what came over RPC, or users without keys", async ({ onTestFinished }) => {
    const stage = await Stage.open(onTestFinished);
    const first = await stage.startReplica();
    const client = stage.connect(first);
    const { setUserChannels } = PermissionService.method;
    await client.unary(setUserChannels, { eventId: stage.eventId, userId: "rpc", channelIds: [stage.channel("a")] });
    await stage.redis.cli("SADD", "u.rpc.g", stage.channel("b"));
    const update = { eventId: stage.eventId, userId: "keyless", channelIds: [stage.channel("a")] };
    await stage.redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify(update));
    await stage.assign("marker", ["a"]);
    await stage.assign("other", ["b"]);
    const seen = await stage.watch(first);
    await waitFor(() => seen.picture.channelsOf(stage.eventId, "other"));
    await stage.redis.cli("SADD", "u.marker.g", stage.channel("b"));
    await waitFor(() => reconciled(seen).length > 0, { timeoutMs: 15_000, message: "the reconcile" });
    expect(seen.picture.channelsOf(stage.eventId, "marker")).toEqual([stage.channel("a"), stage.channel("b")]);
    expect(seen.picture.channelsOf(stage.eventId, "rpc")).toEqual([stage.channel("a")]);
    expect(seen.picture.channelsOf(stage.eventId, "keyless")).toEqual([stage.channel("a")]);
  }, 60_000);
});

describe.concurrent("GetUserPermissions after a break of the subscriptions", () => {
  it("compares the user with the control plane's key, before the reconcile does (pitfall 8)", async ({
    onTestFinished,
  }) => {
    const stage = await Stage.open(onTestFinished);
    const replica = await stage.startReplica();
    const client = stage.connect(replica);
    const read = async (userId: string) => {
      const { getUserPermissions } = PermissionService.method;
      return (await client.unary(getUserPermissions, { eventId: stage.eventId, userId })).channelIds;
    };
    await stage.assign("anna", ["a"]);
    await stage.assign("other", ["a", "b"]);
    await waitFor(async () => (await read("other")).length === 2);
    await stage.firstWatermark();

    const cutAt = performance.now();
    // Both happen in one step, so that no replica subscribes in between.
    const update = JSON.stringify({
      eventId: stage.eventId,
      userId: "anna",
      channelIds: [stage.channel("a"), stage.channel("b")],
    });
    const controlPlane = new Redis(stage.redis.url);
    stage.atEnd(() => controlPlane.disconnect());
    const results = await controlPlane
      .multi()
      .call("CLIENT", "KILL", "TYPE", "pubsub")
      .sadd("u.anna.g", stage.channel("b"))
      .publish("vp:membership_updates", update)
      .exec();
    expect(results?.at(-1)).toEqual([null, 0]);
    await waitFor(async () => (await read("anna")).length === 2, { timeoutMs: 3_000 });
    expect(performance.now() - cutAt).toBeLessThan(3_500);
    expect(await read("other")).toEqual([stage.channel("a"), stage.channel("b")]);
  }, 60_000);
});

describe.concurrent("the watermark", () => {
  it("is not raised by a reconcile during which it was lost (pitfall 25)", async ({ onTestFinished }) => {
    const stage = await Stage.open(onTestFinished);
    const engine = createRedisEngine({ url: stage.redis.url, logger: createLogger("test", "silent") });
    stage.atEnd(() => engine.close());
    await engine.start();
    const { openWatermark, closeGap, raiseWatermark } = (engine.ingest as IngestSource).controlPlane;
    const lost = await openWatermark();
    await stage.redis.cli("FLUSHALL");
    await closeGap(lost, 5);
    expect(await raiseWatermark(1, 9)).toBe(0);
    const made = await openWatermark();
    expect(await openWatermark()).toBe(made);
    await closeGap(lost, 5);
    expect(await raiseWatermark(1, 9)).toBe(0);
    await closeGap(made, 7);
    expect(await raiseWatermark(8, 9)).toBe(7);
    expect(await raiseWatermark(7, 9)).toBe(9);
  });

  it("is raised by the others while a replica restarts, so that nothing is reconciled", async ({ onTestFinished }) => {
    const stage = await Stage.open(onTestFinished);
    const steady = await stage.startReplica();
    const seen = await stage.watch(steady);
    await stage.assign("anna", ["a"]);
    await stage.firstWatermark();
    const before = reconciled(seen).length;
    const restarted = await stage.startReplica();
    await restarted.close();
    await stage.startReplica();
    // Only a reconcile would find this difference.
    await stage.redis.cli("SADD", "u.anna.g", stage.channel("b"));
    const until = Date.now() + 8_000;
    await waitFor(() => Date.now() > until, { timeoutMs: 10_000 });
    expect(await stage.isCarried()).toBe(true);
    expect(reconciled(seen)).toHaveLength(before);
  }, 60_000);

  it("is not raised past a restart of Redis: everything is compared again, and nothing is lost (pitfall 8)", async ({
    onTestFinished,
  }) => {
    const stage = await Stage.open(onTestFinished);
    const proxy = await startTcpProxy(() => stage.redis.port);
    stage.atEnd(() => proxy.close());
    const steady = await stage.startReplica(`redis://127.0.0.1:${proxy.port}`);
    const seen = await stage.watch(steady);
    await stage.assign("anna", ["a"]);
    await stage.assign("other", ["b"]);
    await waitFor(() => seen.picture.channelsOf(stage.eventId, "other"));
    await stage.firstWatermark();
    await stage.redis.cli("SAVE");
    proxy.refuse();
    await stage.redis.restart();
    expect(await stage.assign("anna", ["a", "b"])).toBe("0");
    proxy.heal();
    await waitFor(() => seen.picture.channelsOf(stage.eventId, "anna")?.length === 2, { timeoutMs: 20_000 });
    expect(seen.error).toBeUndefined();
  }, 60_000);
});
