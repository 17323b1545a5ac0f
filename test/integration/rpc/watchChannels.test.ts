import { randomUUID } from "node:crypto";
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { type ServiceError, status } from "@grpc/grpc-js";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ChannelService, type WatchChannelsResponse } from "../../../gen/squelch/v1/channel_service_pb.js";
import { FloorPriority } from "../../../gen/squelch/v1/model_pb.js";
import { PermissionService, type WatchPermissionsResponse } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import type { Replica } from "../../../src/server/start.js";
import { connect } from "../../support/clients/watchClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const { watchPermissions, syncEventMembers: _, ...permissions } = PermissionService.method;
const { watchChannels, ...channels } = ChannelService.method;

let closers: (() => Promise<void> | void)[];
let eventId: string;
let channelId: string;

beforeEach(() => {
  closers = [];
  eventId = randomUUID();
  channelId = `${eventId}-a`;
});
afterEach(async () => {
  for (const close of closers.reverse()) await close();
});

async function startReplica(overrides: Record<string, string> = {}): Promise<{ replica: Replica; client: GrpcClient }> {
  const replica = await startSquelch(overrides);
  closers.push(() => replica.close());
  const client = connect(replica.grpcAddress);
  closers.push(() => client.close());
  return { replica, client };
}

/** Opens a watch and returns its messages in a short form: each holder by channel, `-` for a free channel, and whole snapshots. */
function watch(client: GrpcClient, eventIds = [eventId]) {
  const stream = client.serverStream(watchChannels, { eventIds });
  closers.push(() => stream.cancel());
  const messages: WatchChannelsResponse[] = [];
  const checkpoints: WatchChannelsResponse[] = [];
  let error: ServiceError | undefined;
  stream.on("data", (message: WatchChannelsResponse) => {
    if (message.payload.case === "checkpoint") checkpoints.push(message);
    else messages.push(message);
  });
  stream.on("error", (reason: ServiceError) => {
    error ??= reason;
  });
  const received = () =>
    messages.map(({ payload }) =>
      payload.case === "snapshot" ? payload.value.speakers.map(({ userId }) => userId) : (holderOf(payload) ?? "-"),
    );
  return {
    messages,
    checkpoints,
    received,
    until: async (...expected: (string | string[])[]) => {
      await waitFor(() => received().length >= expected.length, {
        message: () => `more than ${JSON.stringify(received())}`,
      });
      expect(received()).toEqual(expected);
    },
    ended: () => waitFor(() => error, { message: "the end of the stream" }),
  };
}

async function assign(client: GrpcClient, ...userIds: string[]): Promise<void> {
  for (const userId of userIds) {
    await client.unary(permissions.setUserChannels, { eventId, userId, channelIds: [channelId] });
  }
}

async function readAll(transport: Transport, signal: AbortSignal, messages: WatchChannelsResponse[]): Promise<void> {
  const { watchChannels: watchOverHttp } = createClient(ChannelService, transport);
  try {
    for await (const message of watchOverHttp({ eventIds: [eventId] }, { signal })) {
      if (message.payload.case !== "checkpoint") messages.push(message);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function press(client: GrpcClient, userId: string, priority = FloorPriority.NORMAL, leaseSeconds = 30) {
  const leaseTime = { seconds: BigInt(leaseSeconds) };
  const { outcome } = await client.unary(channels.startPtt, { channelId, userId, priority, leaseTime });
  if (outcome.case !== "granted") throw new Error("denied");
  return outcome.value;
}

describe.each(["memory", "redis"])("a watch of speakers, with the %s engine", (engine) => {
  let redis: RedisServer | undefined;

  async function start() {
    if (engine === "memory") return startReplica();
    redis = await startRedis();
    closers.push(() => redis?.stop());
    return startReplica({ redisUrl: redis.url });
  }

  it("begins with a snapshot, also for an event without writes (pitfall 26)", async () => {
    const { client } = await start();
    const one = watch(client, [eventId, `${eventId}-other`]);
    await waitFor(() => one.messages.length === 2);
    expect(one.received()).toEqual([[], []]);
    expect(one.messages.map((message) => message.eventId).sort()).toEqual([eventId, `${eventId}-other`]);
    await assign(client, "anna");
    await press(client, "anna");
    await waitFor(() => one.messages.length === 3);
    await watch(client).until(["anna"]);
  });

  it("delivers each change once: grants, releases, pre-emptions, the ends of leases, the pause", async () => {
    const { client } = await start();
    await assign(client, "anna", "ben");
    const one = watch(client);
    await one.until([]);
    const { startedAt, leaseId } = await press(client, "anna");
    await one.until([], "anna");
    const [, granted] = one.messages;
    expect(granted).toMatchObject({
      ...{ eventId, time: startedAt },
      payload: { case: "changed", value: { channelId, holder: { startedAt, userName: "anna" } } },
    });
    await client.unary(channels.renewPtt, { channelId, leaseId });
    const ben = await press(client, "ben", FloorPriority.EMERGENCY);
    await one.until([], "anna", "ben");
    await client.unary(channels.stopPtt, { channelId, leaseId: ben.leaseId });
    await one.until([], "anna", "ben", "-");
    await press(client, "anna", FloorPriority.NORMAL, 1);
    await one.until([], "anna", "ben", "-", "anna", "-");
    const { pause } = await client.unary(permissions.pauseAllSpeakers, { eventId, broadcaster: { userId: "dora" } });
    await one.until([], "anna", "ben", "-", "anna", "-", "dora");
    await client.unary(permissions.resumeSpeakers, { eventId, pauseId: pause?.pauseId ?? "" });
    await one.until([], "anna", "ben", "-", "anna", "-", "dora", "-");
  });

  it("delivers the speakers in a watch of permissions with with_speakers, also for later events", async () => {
    const { client } = await start();
    const stream = client.serverStream(watchPermissions, { withSpeakers: true });
    closers.push(() => stream.cancel());
    stream.on("error", () => undefined);
    const payloads: WatchPermissionsResponse["payload"][] = [];
    stream.on("data", ({ payload }: WatchPermissionsResponse) => payloads.push(payload));
    await waitFor(() => payloads.some((payload) => payload.case === "checkpoint"));
    const received = () => payloads.flatMap((payload) => (payload.case === "speakers" ? [payload.value] : []));
    const one = watch(client);
    await one.until([]);
    await assign(client, "anna");
    await waitFor(() => received().length === 1, { message: "the snapshot of the new event" });
    const { leaseId } = await press(client, "anna");
    await client.unary(channels.stopPtt, { channelId, leaseId });
    await one.until([], "anna", "-");
    await waitFor(() => received().length === 3, { message: "the changes" });
    expect(received()[0]).toMatchObject({ eventId, payload: { case: "snapshot" } });
    expect(received().slice(1)).toEqual(one.messages.slice(1));
    expect(payloads.some((payload) => payload.case === "changes" || payload.case === "snapshot")).toBe(true);
  });

  it("delivers each channel once after a pause of hundreds, on both servers and in a watch of permissions", async () => {
    const { replica, client } = await start();
    const channelIds = Array.from({ length: 400 }, (_, index) => `${channelId}-${String(index).padStart(3, "0")}`);
    await client.unary(permissions.setUserChannels, { eventId, userId: "anna", channelIds });
    const grpc = watch(client);
    const stream = client.serverStream(watchPermissions, { eventIds: [eventId], withSpeakers: true });
    closers.push(() => stream.cancel());
    stream.on("error", () => undefined);
    const beside: WatchChannelsResponse[] = [];
    stream.on("data", ({ payload }: WatchPermissionsResponse) => {
      if (payload.case === "speakers") beside.push(payload.value);
    });
    const transport = createConnectTransport({ baseUrl: `http://${replica.httpAddress}`, httpVersion: "1.1" });
    const overHttp: WatchChannelsResponse[] = [];
    const abort = new AbortController();
    closers.push(() => abort.abort());
    const reading = readAll(transport, abort.signal, overHttp);
    await waitFor(() => [grpc.messages, beside, overHttp].every((messages) => messages.length === 1));

    await client.unary(permissions.pauseAllSpeakers, { eventId, broadcaster: { userId: "dora" } });
    for (const messages of [grpc.messages, beside, overHttp]) {
      await waitFor(() => messages.length > channelIds.length, { message: () => `all, not ${messages.length}` });
      const received = messages.slice(1).map((message) => [channelOf(message), holderOf(message.payload)]);
      expect(received.sort()).toEqual(channelIds.map((id) => [id, "dora"]));
    }
    abort.abort();
    await reading;
  });

  it("delivers nothing of another event (G7)", async () => {
    const { client } = await start();
    await assign(client, "anna");
    const other = watch(client, [`${eventId}-other`]);
    const own = watch(client);
    await own.until([]);
    await press(client, "anna");
    await own.until([], "anna");
    expect(other.received()).toEqual([[]]);
  });

  it("ends with a status that names the next action of the client", async () => {
    const { replica, client } = await start();
    expect(await watch(client, []).ended()).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(/^event_ids: /),
    });
    expect(await watch(client, ["a", ""]).ended()).toMatchObject({ code: status.INVALID_ARGUMENT });
    const one = watch(client);
    await one.until([]);
    await replica.close();
    expect(await one.ended()).toMatchObject({
      code: status.UNAVAILABLE,
      details: expect.stringContaining("reconnect"),
    });
  });
});

describe("beside a router that writes Redis itself, a watch of speakers", () => {
  let redis: RedisServer;
  let raw: Redis;
  let one: ReturnType<typeof watch>;
  let client: GrpcClient;

  beforeEach(async () => {
    redis = await startRedis();
    raw = new Redis(redis.url);
    closers.push(async () => {
      raw.disconnect();
      await redis.stop();
    });
    ({ client } = await startReplica({ redisUrl: redis.url }));
    await assign(client, "anna");
    one = watch(client);
    await one.until([]);
  });

  const key = () => `channel:${channelId}:speaker`;
  const take = (userId: string, ttlMs: number) =>
    raw.set(key(), JSON.stringify({ userId, userName: userId, timestamp: Date.now() }), "PX", ttlMs, "NX");
  const hint = (currentSpeaker: string | null) =>
    raw.publish(
      `channel:${channelId}:events`,
      JSON.stringify({ channelId, currentSpeaker, speakerName: null, isBusy: currentSpeaker !== null }),
    );

  it("delivers the router's floors, and trusts the key, not the message", async () => {
    await hint("liar");
    await take("ben", 30_000);
    await hint("ben");
    await one.until([], "ben");
    expect(one.messages[1]?.payload.value).toMatchObject({
      channelId,
      holder: { channelId, userId: "ben", priority: FloorPriority.NORMAL },
    });
    await hint(null);
    await raw.del(key());
    await hint(null);
    await one.until([], "ben", "-");
  });

  it("notices that the router's lock has expired without a message (pitfall 33)", async () => {
    await take("ben", 600);
    await hint("ben");
    await one.until([], "ben");
    await waitFor(async () => (await raw.exists(key())) === 0);
    const endedMs = performance.now();
    await one.until([], "ben", "-");
    expect(performance.now() - endedMs).toBeLessThan(250);
  });

  it("sends a snapshot again when changes may have been missed", async () => {
    await raw.call("CLIENT", "KILL", "TYPE", "pubsub");
    await press(client, "anna");
    await waitFor(() =>
      one.messages.some(({ payload }) => payload.case === "snapshot" && payload.value.speakers[0]?.userId === "anna"),
    );
  });

  it("delivers the router's floors on another replica", async () => {
    const { client: other } = await startReplica({ redisUrl: redis.url });
    const two = watch(other);
    await two.until([]);
    const { leaseId } = await press(client, "anna");
    await client.unary(channels.stopPtt, { channelId, leaseId });
    await take("ben", 30_000);
    await hint("ben");
    await one.until([], "anna", "-", "ben");
    await two.until([], "anna", "-", "ben");
    expect(two.messages.slice(1, 3)).toEqual(one.messages.slice(1, 3));
  });
});

function holderOf(payload: WatchChannelsResponse["payload"]): string | undefined {
  return payload.case === "changed" ? payload.value.holder?.userId : undefined;
}

function channelOf({ payload }: WatchChannelsResponse): string | undefined {
  return payload.case === "changed" ? payload.value.channelId : undefined;
}
