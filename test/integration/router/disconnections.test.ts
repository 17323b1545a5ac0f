import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { FloorDenyCause } from "../../../gen/squelch/v1/model_pb.js";
import type { LogEntry } from "../../../src/domain/change.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import { createLogger } from "../../../src/lib/logger.js";
import { type ReferenceRouter, startReferenceRouter } from "../../../src/router/index.js";
import type { Replica } from "../../../src/server/start.js";
import { methods } from "../../support/clients/methods.js";
import { connect } from "../../support/clients/watchClient.js";
import { signToken, WsClient } from "../../support/clients/wsClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { startTcpProxy, type TcpProxy } from "../../support/tcpProxy.js";
import { waitFor } from "../../support/waitFor.js";

// Two replicas on one Redis, a router on each, and users with several sockets.
const SECRET = "the clients' secret";
const PERMANENT = 9007199254740991;

let redis: RedisServer;
let raw: Redis;
let subscriber: Redis;
let replicas: Replica[];
let rpc: GrpcClient;
let proxy: TcpProxy;
let routers: ReferenceRouter[];
let sockets: WsClient[];
let [here, there] = ["", ""];
/** The messages from Redis about both events, with their times. */
let entries: (LogEntry & { eventId: string; atMs: number })[];

const {
  disconnectUser,
  banUser,
  unbanUser,
  listBans,
  setUserChannels,
  awaitApplied,
  pauseAllSpeakers,
  getEventActiveSpeakers,
} = methods;
const { startPtt } = ChannelService.method;

beforeEach(async () => {
  redis = await startRedis();
  raw = new Redis(redis.url);
  subscriber = raw.duplicate();
  replicas = await Promise.all([0, 1].map(() => startSquelch({ redisUrl: redis.url })));
  const [first, second] = replicas.map(({ grpcAddress }) => grpcAddress) as [string, string];
  rpc = connect(first);
  proxy = await startTcpProxy(() => Number(second.split(":")[1]));
  routers = await Promise.all([first, `127.0.0.1:${proxy.port}`].map(startRouter));
  sockets = [];
  [here, there] = [`here-${randomUUID()}`, `there-${randomUUID()}`];
  for (const eventId of [here, there]) {
    for (const userId of ["anna", "ben"]) {
      await rpc.unary(setUserChannels, { eventId, userId, channelIds: [`${eventId}-a`] });
    }
  }
  entries = [];
  subscriber.on("message", (channel, message) => {
    const eventId = channel.slice("squelch:{".length, channel.indexOf("}"));
    entries.push({ eventId, atMs: Date.now(), ...JSON.parse(message) });
  });
  await subscriber.subscribe(`squelch:{${here}}:changes`, `squelch:{${there}}:changes`);
});
afterEach(async () => {
  for (const { socket } of sockets) socket.terminate();
  await Promise.all(routers.map((router) => router.close()));
  rpc.close();
  await proxy.close();
  await Promise.all(replicas.map((replica) => replica.close()));
  subscriber.disconnect();
  raw.disconnect();
  await redis.stop();
});

function startRouter(address: string, index: number): Promise<ReferenceRouter> {
  return startReferenceRouter({
    address,
    listen: "127.0.0.1:0",
    jwtSecret: SECRET,
    routerId: `router-${index}`,
    checkpointIntervalMs: 1_000,
    retryDelayMs: () => 50,
    logger: createLogger("test", "silent"),
  });
}

async function open(router: number, eventId: string, userId: string): Promise<WsClient> {
  const token = await signToken(SECRET, { userId, eventId });
  const socket = await WsClient.connect(routers[router]?.wsAddress ?? "", token);
  sockets.push(socket);
  return socket;
}

async function join(router: number, eventId: string, userId: string): Promise<WsClient> {
  const socket = await open(router, eventId, userId);
  expect(await socket.request("join-channel", { channelId: `${eventId}-a` })).toMatchObject({
    data: { success: true },
  });
  return socket;
}

async function expectPutOut(sockets: readonly WsClient[], reason: string): Promise<void> {
  for (const socket of sockets) {
    await waitFor(() => socket.closed, { message: "the socket to be closed" });
    expect(socket.of("force-disconnect")).toEqual([{ type: "force-disconnect", data: { reason } }]);
    expect(socket.closed).toEqual({ code: 4003, reason });
  }
}

const logged = (eventId: string, kind: string) => entries.filter((one) => one.eventId === eventId && one.kind === kind);
const press = (eventId: string, userId: string) => rpc.unary(startPtt, { channelId: `${eventId}-a`, userId });

describe("a disconnection", () => {
  it("pitfall 23: closes every socket of the user in the event, on every router, and all routers confirm it", async () => {
    const all = await Promise.all([join(0, here, "anna"), join(0, here, "anna"), join(1, here, "anna")]);
    const [elsewhere, listener] = [await join(1, there, "anna"), await join(1, here, "ben")];
    await all[0]?.request("ptt-start", { channelId: `${here}-a` });
    const { revision, epoch } = await rpc.unary(disconnectUser, {
      eventId: here,
      userId: "anna",
      reason: "Found a radio",
    });
    const { applied, missing } = await rpc.unary(awaitApplied, { eventId: here, revision, epoch });
    expect([applied.map(({ routerId }) => routerId), missing]).toEqual([["router-0", "router-1"], []]);
    await expectPutOut(all, "Found a radio");
    expect(all[0]?.of("ptt-interrupted")).toMatchObject([{ data: { channelId: `${here}-a` } }]);
    expect(await listener.request("ptt-start", { channelId: `${here}-a` })).toMatchObject({ data: { success: true } });
    expect(await elsewhere.request("ptt-start", { channelId: `${there}-a` }), "G7").toMatchObject({
      data: { success: true },
    });
    expect(await join(0, here, "anna"), "may connect again").toBeDefined();
  });

  it("pitfall 23: closes the sockets of a router that has missed it, but no newer socket", async () => {
    const old = await join(1, here, "anna");
    proxy.refuse();
    await rpc.unary(disconnectUser, { eventId: here, userId: "anna", reason: "Found a radio" });
    const young = await join(0, here, "anna");
    // The log is lost, so the router gets a snapshot when it reconnects.
    await raw.hdel(`squelch:{${here}}:meta`, "epoch");
    proxy.heal();
    await waitFor(() => old.closed, { timeoutMs: 10_000, message: "the old socket to be closed" });
    expect(old.closed).toMatchObject({ code: 4003 });
    expect(await young.request("ping")).toMatchObject({ data: { type: "pong" } });
    expect(young.closed).toBeUndefined();
  });
});

describe("a ban", () => {
  it("is in the keys of the fleet, removes the user from every event, and ends by itself (pitfall 33)", async () => {
    const all = await Promise.all([
      join(0, here, "anna"),
      join(1, here, "anna"),
      join(0, there, "anna"),
      join(1, there, "anna"),
    ]);
    const bystander = await join(1, here, "ben");
    const request = { eventId: here, userId: "anna", reason: "Noise", duration: { seconds: 2n } };
    const { ban, replicated } = await rpc.unary(banUser, request);
    expect(replicated).toBe(false);
    const expiresAtMs = Number(await raw.zscore("security:banned", "anna"));
    const bannedAt = String(expiresAtMs - 2_000);
    const details = {
      userId: "anna",
      bannedBy: "anonymous",
      bannedAt,
      expiresAt: String(expiresAtMs),
      reason: "Noise",
    };
    expect(await raw.hgetall("security:ban:anna")).toEqual(details);
    expect(await raw.pexpiretime("security:ban:anna")).toBe(expiresAtMs);
    expect((await rpc.unary(listBans, { eventId: there })).bans).toEqual([ban]);

    await expectPutOut(all, "Noise");
    for (const [router, eventId] of [
      [0, here],
      [1, there],
    ] as const) {
      await expect(open(router, eventId, "anna")).rejects.toThrow("403 You are banned until");
    }
    const { outcome } = await press(there, "anna");
    expect(outcome).toMatchObject({ case: "denied", value: { cause: FloorDenyCause.RECEIVE_ONLY, ban } });
    expect(await bystander.request("ping")).toMatchObject({ data: { type: "pong" } });

    for (const eventId of [here, there]) {
      await waitFor(() => logged(eventId, "userUnbanned").length > 0, { message: "the end of the ban" });
    }
    expect(await join(0, here, "anna")).toBeDefined();
    expect(await join(1, there, "anna")).toBeDefined();
    for (const eventId of [here, there]) {
      const [end, ...more] = logged(eventId, "userUnbanned");
      expect(end).toMatchObject({ userId: "anna", expired: true, actor: "" });
      expect(more, "logged once by two replicas").toEqual([]);
      const lateMs = (end?.timeMs ?? 0) - expiresAtMs;
      expect(lateMs).toBeGreaterThanOrEqual(0);
      expect(lateMs).toBeLessThan(250);
      expect(logged(eventId, "userBanned")).toHaveLength(1);
      expect(logged(eventId, "userDisconnected")).toHaveLength(1);
    }
    expect(await raw.exists("security:banned", "security:ban:anna")).toBe(0);
  });

  it("that holds until it is lifted is written as VoicePing routers write it", async () => {
    await rpc.unary(banUser, { eventId: here, userId: "anna" });
    expect(await raw.zscore("security:banned", "anna")).toBe(String(PERMANENT));
    expect(await raw.hgetall("security:ban:anna")).toMatchObject({ expiresAt: "permanent", reason: "" });
    expect(await raw.pttl("security:ban:anna")).toBe(-1);
    await rpc.unary(unbanUser, { eventId: there, userId: "anna" });
    expect(await raw.exists("security:banned", "security:ban:anna")).toBe(0);
    expect(await join(0, here, "anna")).toBeDefined();
    await waitFor(() => logged(here, "userUnbanned").length === 1, { message: "the event of the ban to log its end" });
  });

  it("by another router is respected and logged at once; so is its end", async () => {
    const all = await Promise.all([join(0, here, "anna"), join(1, there, "anna")]);
    await raw.zadd("security:banned", PERMANENT, "anna");
    const ban = {
      userId: "anna",
      bannedBy: "7",
      bannedAt: "1769860805120",
      expiresAt: "permanent",
      reason: "No reason provided",
    };
    await raw.hset("security:ban:anna", ban);
    for (const router of [0, 1]) {
      await expect(open(router, here, "anna")).rejects.toThrow("403 You are banned: No reason provided");
    }
    expect((await press(here, "anna")).outcome).toMatchObject({ case: "denied", value: { ban: { bannedBy: "7" } } });
    const { bans } = await rpc.unary(listBans, { eventId: here });
    expect(bans).toMatchObject([{ userId: "anna", bannedBy: "7", reason: "No reason provided" }]);
    expect(bans[0]?.expiresAt).toBeUndefined();

    // Replicas compare every 10 s, and whenever a ban is made.
    await rpc.unary(banUser, { eventId: here, userId: "zoe", duration: { seconds: 60n } });
    await expectPutOut(all, "No reason provided");
    for (const eventId of [here, there]) {
      expect(logged(eventId, "userBanned").filter((one) => JSON.stringify(one).includes("anna"))).toHaveLength(1);
    }
    await raw.zrem("security:banned", "anna");
    await raw.del("security:ban:anna");
    expect(await join(0, here, "anna")).toBeDefined();
    await rpc.unary(unbanUser, { eventId: here, userId: "zoe" });
    const ends = (eventId: string) =>
      logged(eventId, "userUnbanned").filter((one) => JSON.stringify(one).includes("anna"));
    await waitFor(() => ends(here).length === 1 && ends(there).length === 1, { message: "the end to be logged" });
    expect(ends(here)).toMatchObject([{ expired: false, actor: "" }]);
  });

  it("of an exempt speaker and of the broadcaster of a pause leave neither of them a floor", async () => {
    await press(here, "anna");
    const paused = { eventId: here, exemptUserIds: ["anna"], broadcaster: { userId: "ben" } };
    expect(await rpc.unary(pauseAllSpeakers, paused)).toMatchObject({ paused: [] });
    await raw.zadd("security:banned", PERMANENT, "anna", PERMANENT, "ben");
    // Replicas compare whenever a ban is made, and find both bans in one step.
    await rpc.unary(banUser, { eventId: there, userId: "zoe" });
    await waitFor(() => logged(here, "userDisconnected").length === 2, { message: "both to be disconnected" });
    const { speakers, pause } = await rpc.unary(getEventActiveSpeakers, { eventId: here });
    expect(speakers).toEqual([]);
    expect(pause).toBeDefined();
  });

  it("that has expired or is not valid does not count", async () => {
    await raw.zadd("security:banned", Date.now() - 1, "anna", 12, "ben");
    expect(await join(0, here, "anna")).toBeDefined();
    await raw.zadd("security:banned", "+inf", "anna");
    await raw.hset("security:ban:anna", { bannedAt: "yesterday", reason: 'a "quote"\n' });
    await expect(open(1, here, "anna")).rejects.toThrow('403 You are banned: a "quote"');
    const { bans } = await rpc.unary(listBans, { eventId: here });
    expect(bans).toMatchObject([{ userId: "anna", bannedBy: "", reason: 'a "quote"\n' }]);
    expect([bans[0]?.bannedAt, bans[0]?.expiresAt]).toEqual([undefined, undefined]);
    await rpc.unary(unbanUser, { eventId: here, userId: "anna" });
  });
});

it("in the layout of a Cluster a ban holds in its event only, and its keys have the event's tag", async () => {
  const replica = await startSquelch({ redisUrl: redis.url, redisLayout: "cluster" });
  const client = connect(replica.grpcAddress);
  try {
    await client.unary(banUser, { eventId: here, userId: "anna", reason: "Noise" });
    expect(await raw.zscore(`security:{${here}}:banned`, "anna")).toBe(String(PERMANENT));
    expect(await raw.hget(`security:{${here}}:ban:anna`, "reason")).toBe("Noise");
    expect(await raw.exists("security:banned")).toBe(0);
    expect((await client.unary(listBans, { eventId: there })).bans).toEqual([]);
  } finally {
    client.close();
    await replica.close();
  }
});
