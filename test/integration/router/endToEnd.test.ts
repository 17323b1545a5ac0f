import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createLogger } from "../../../src/lib/logger.js";
import { PermissionClient, type ReferenceRouter, startReferenceRouter } from "../../../src/router/index.js";
import type { Replica } from "../../../src/server/start.js";
import { findFreePort } from "../../support/childProcess.js";
import { signToken, WsClient } from "../../support/clients/wsClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const SECRET = "the clients' secret";
const logger = createLogger("test", "silent");
const closers: (() => Promise<void> | void)[] = [];
let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  await redis.cli("FLUSHALL");
});

afterAll(() => redis.stop());

async function startReplica(overrides: Record<string, string> = {}): Promise<Replica> {
  const replica = await startSquelch(overrides);
  closers.push(() => replica.close());
  return replica;
}

async function startRouter(...replicas: Replica[]): Promise<ReferenceRouter> {
  const router = await startReferenceRouter({
    address: replicas.map(({ grpcAddress }) => grpcAddress).join(","),
    listen: "127.0.0.1:0",
    jwtSecret: SECRET,
    checkpointIntervalMs: 1_000,
    retryDelayMs: () => 50,
    logger,
  });
  closers.push(() => router.close());
  return router;
}

async function connect(router: ReferenceRouter, userId: string, claims: Record<string, unknown> = {}) {
  const token = await signToken(SECRET, { userId, eventId: "e1", channelIds: ["a", "b"], ...claims });
  const client = await WsClient.connect(router.wsAddress, token);
  closers.push(() => client.socket.terminate());
  return client;
}

async function join(router: ReferenceRouter, userId: string, claims: Record<string, unknown> = {}) {
  const client = await connect(router, userId, claims);
  expect(await client.request("join-channel", { channelId: "a" })).toMatchObject({ data: { success: true } });
  return client;
}

/** Publishes as the control plane does. */
async function assign(userId: string, channelIds: string[]): Promise<void> {
  const payload = { eventId: "e1", userId, channelIds, action: "set_user_channels" };
  await redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify(payload));
}

it("brings an assignment from the control plane's PUBLISH to the user's WebSocket", async () => {
  const router = await startRouter(await startReplica({ redisUrl: redis.url }));
  // The router gets the event as a snapshot. Everything after that arrives as changes.
  const first = await connect(router, "u0", { channelIds: [] });
  await assign("u0", ["a"]);
  await first.next("permission-update");
  const client = await connect(router, "u1", { channelIds: [] });
  await assign("u1", ["a", "b"]);
  expect(await client.next("permission-update")).toEqual({
    type: "permission-update",
    data: {
      ...{ eventId: "e1", channelIds: ["a", "b"], channels: ["a", "b"], added: ["a", "b"], removed: [] },
      ...{ action: "set_user_channels", revision: 2 },
    },
  });
  await client.request("join-channel", { channelId: "a" });
  await client.request("ptt-start", { channelId: "a" });
  await assign("u1", []);
  expect((await client.next("permission-update", 2)).data).toMatchObject({ channelIds: [], removed: ["a", "b"] });
  expect(await client.request("ptt-stop", { channelId: "a" })).toMatchObject({ data: { success: true } });
  expect((await client.request("ptt-start", { channelId: "a" })).error).toContain("Join the channel");
});

describe.each(["memory", "redis"])("with the %s engine", (engine) => {
  const start = () => startReplica(engine === "redis" ? { redisUrl: redis.url } : {});

  it("a user is seeded from the token, speaks, and each listener receives the speech once", async () => {
    const router = await startRouter(await start());
    const [speaker, ...listeners] = await Promise.all(["u0", "u1", "u2", "u3"].map((userId) => join(router, userId)));
    expect(speaker?.frames[0]?.data.channels).toEqual(["a", "b"]);
    expect(await speaker?.request("ptt-start", { channelId: "a" })).toMatchObject({ data: { success: true } });
    expect(await listeners[0]?.request("ptt-start", { channelId: "a" })).toMatchObject({
      data: { denied: true, currentSpeaker: "u0" },
    });
    await speaker?.request("ptt-stop", { channelId: "a" });
    for (const listener of listeners) {
      await listener.next("speaker-changed", 2);
      await listener.request("ping");
      expect(listener.of("speaker-changed").map(({ data }) => data.currentSpeaker)).toEqual(["u0", null]);
    }
  });

  it("pitfalls 19, 20: an emergency cuts the speakers on every router and holds newcomers until it ends", async () => {
    const replica = await start();
    const [here, there] = [await startRouter(replica), await startRouter(replica)];
    const dispatcher = await join(here, "dora", { role: "DISPATCH", userName: "Dora" });
    const victim = await join(there, "u1");
    await victim.request("ptt-start", { channelId: "a" });
    await dispatcher.request("emergency-broadcast-start", { holdDuration: 2_000 });
    expect((await victim.next("ptt-interrupted")).data).toMatchObject({ channelId: "a", interruptedBy: "Dora" });
    expect((await victim.next("emergency-broadcast-start")).data.dispatchUserId).toBe("dora");
    expect((await victim.next("speaker-changed", 2)).data.currentSpeaker).toBe("dora");
    const late = await join(there, "late");
    expect(late.frames[1]?.type).toBe("emergency-broadcast-start");
    expect(await late.request("ptt-start", { channelId: "a" })).toMatchObject({ data: { denied: true } });
    await dispatcher.request("emergency-broadcast-stop");
    expect((await victim.next("speaker-changed", 3)).data.currentSpeaker).toBeNull();
    expect((await late.next("emergency-broadcast-stop")).data.dispatchUserName).toBe("Dora");
    expect(await late.request("ptt-start", { channelId: "a" })).toMatchObject({ data: { success: true } });
  });

  it("pitfalls 19, 21: one dispatcher wins, also speaks on new channels, and continues after a lost connection", async () => {
    const replica = await start();
    const [here, there] = [await startRouter(replica), await startRouter(replica)];
    const claims = { role: "DISPATCH" };
    const [dora, carl] = [await join(here, "dora", claims), await join(there, "carl", claims)];
    const answers = await Promise.all([dora, carl].map((client) => client.request("emergency-broadcast-start")));
    const winner = answers[0]?.type === "error" ? "carl" : "dora";
    expect(answers.filter(({ type }) => type === "error")).toMatchObject([{ data: { dispatchUserId: winner } }]);

    const fresh = await connect(there, "fresh", { channelIds: ["new"] });
    await fresh.request("join-channel", { channelId: "new" });
    const states = () => fresh.frames.flatMap(({ data }) => data?.state ?? data ?? []);
    await waitFor(() =>
      states().some(({ channelId, currentSpeaker }) => channelId === "new" && currentSpeaker === winner),
    );
    expect(await fresh.request("ptt-start", { channelId: "new" })).toMatchObject({ data: { denied: true } });

    for (const client of [dora, carl]) client.socket.terminate();
    const again = await connect(there, winner, claims);
    const restarted = await again.request("emergency-broadcast-start");
    expect(restarted.data).toMatchObject({ success: true });
    const listener = await join(here, "u1");
    expect((await listener.next("emergency-broadcast-start")).data.dispatchUserId).toBe(winner);
    await again.request("emergency-broadcast-stop");
    await listener.next("emergency-broadcast-stop");
    expect(await fresh.request("ptt-start", { channelId: "new" })).toMatchObject({ data: { success: true } });
  });

  it("pitfall 22: a dispatcher takes the floor from a speaker on another router, in one step", async () => {
    const replica = await start();
    const [here, there] = [await startRouter(replica), await startRouter(replica)];
    const dispatcher = await join(here, "dora", { role: "DISPATCH", userName: "Dora" });
    const [victim, listener] = [await join(there, "u1"), await join(there, "u2")];
    await victim.request("ptt-start", { channelId: "a" });
    await listener.next("speaker-changed");
    const denied = await dispatcher.request("ptt-start", { channelId: "a" });
    expect(denied).toMatchObject({ data: { denied: true, currentSpeaker: "u1" } });
    const granted = await dispatcher.request("priority-ptt-start", { channelId: "a" });
    expect(granted).toMatchObject({ data: { success: true, state: { currentSpeaker: "dora" } } });
    expect((await victim.next("ptt-interrupted")).data).toMatchObject({
      ...{ channelId: "a", interruptedBy: "dora", message: "A user with higher priority has taken the floor" },
    });
    for (const client of [victim, listener]) {
      expect((await client.next("speaker-changed", 2)).data).toEqual(granted.data.state);
    }
    expect(await victim.request("ptt-stop", { channelId: "a" }), "pitfall 36").toMatchObject({
      data: { success: true },
    });
    expect(await victim.request("ptt-start", { channelId: "a" })).toMatchObject({ data: { currentSpeaker: "dora" } });
    expect(await dispatcher.request("priority-ptt-stop", { channelId: "a" })).toMatchObject({
      data: { success: true },
    });
    expect(await victim.request("ptt-start", { channelId: "a" })).toMatchObject({ data: { success: true } });
  });

  it("pitfall 3: a client cannot join a channel of another event", async () => {
    const router = await startRouter(await start());
    await join(router, "u1");
    const outsider = await connect(router, "u2", { eventId: "e2", channelIds: ["a"] });
    expect((await outsider.request("join-channel", { channelId: "a" })).error).toContain("not authorized");
  });
});

it("every client learns of speakers: another router's grant, a legacy router's lock, and its silent end (pitfall 33)", async () => {
  const replicas = [await startReplica({ redisUrl: redis.url }), await startReplica({ redisUrl: redis.url })];
  const [here, there] = [await startRouter(...replicas), await startRouter(...replicas)];
  const [speaker, beside, far] = [await join(here, "u1"), await join(here, "u2"), await join(there, "u3")];
  await speaker.request("ptt-start", { channelId: "a" });
  await speaker.request("ptt-stop", { channelId: "a" });
  for (const client of [speaker, beside, far]) await client.next("speaker-changed", 2);
  const lock = JSON.stringify({ userId: "ben", userName: "Ben", timestamp: 7 });
  await redis.cli("SET", "channel:a:speaker", lock, "NX", "PX", "700");
  const state = { channelId: "a", currentSpeaker: "ben", speakerName: "Ben", isBusy: true, lockTimestamp: 7 };
  await redis.cli("PUBLISH", "channel:a:events", JSON.stringify(state));
  for (const client of [speaker, beside, far]) {
    expect((await client.next("speaker-changed", 3)).data).toEqual(state);
    expect((await client.next("speaker-changed", 4)).data.isBusy).toBe(false);
    await client.request("ping");
    expect(client.of("speaker-changed").map(({ data }) => data.currentSpeaker)).toEqual(["u1", null, "ben", null]);
  }
});

it("G1: continues with the other replica when one drains, without a lost change", async () => {
  const one = await startReplica({ redisUrl: redis.url });
  const otherAddress = `127.0.0.1:${await findFreePort()}`;
  const client = new PermissionClient({
    address: `${one.grpcAddress},${otherAddress}`,
    routerId: "r1",
    checkpointIntervalMs: 1_000,
    retryDelayMs: () => 50,
    logger,
  });
  closers.push(() => client.close());
  const revisions: number[] = [];
  let snapshots = 0;
  client.on("change", ({ revision }) => revisions.push(revision));
  client.on("resynced", () => {
    snapshots += 1;
  });
  client.start();
  await waitFor(() => client.isFresh);
  await assign("u1", ["a"]);
  await waitFor(() => revisions.length === 1);
  await startReplica({ redisUrl: redis.url, grpcAddress: otherAddress });
  await one.close();
  await assign("u1", ["a", "b"]);
  await waitFor(() => revisions.length === 2);
  await waitFor(() => client.isFresh);
  expect(revisions).toEqual([1, 2]);
  expect(snapshots, "a resume").toBe(1);
});

it("G9, pitfall 14: while Redis is away presses fail with an error; everything recovers by itself", {
  timeout: 40_000,
}, async () => {
  const router = await startRouter(await startReplica({ redisUrl: redis.url }));
  const client = await join(router, "u1");
  redis.pause();
  try {
    expect(await client.request("ptt-start", { channelId: "a" })).toMatchObject({
      type: "error",
      error: "Service unavailable",
    });
  } finally {
    redis.resume();
  }
  const granted = () => client.request("ptt-start", { channelId: "a" }).then(({ data }) => data?.success);
  await waitFor(granted, { timeoutMs: 20_000 });
  await assign("u1", ["b"]);
  await waitFor(() => client.of("permission-update").at(-1)?.data.removed.includes("a"), { timeoutMs: 20_000 });
});
