import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { createLogger } from "../../../src/lib/logger.js";
import { type ReferenceRouter, startReferenceRouter } from "../../../src/router/index.js";
import type { Replica } from "../../../src/server/start.js";
import { connect } from "../../support/clients/watchClient.js";
import { signToken, WsClient } from "../../support/clients/wsClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const SECRET = "the clients' secret";
const logger = createLogger("test", "silent");
const CHANNEL = { channelId: "a" };
const WAITING = { channelId: "a", queue: true };
const closers: (() => unknown)[] = [];
let redis: RedisServer;
const replicas: Replica[] = [];

beforeAll(async () => {
  redis = await startRedis();
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  await redis.cli("FLUSHALL");
});
afterAll(() => redis.stop());

/** Two routers on a replica each. */
async function startRouters(overrides: Record<string, string> = {}): Promise<[ReferenceRouter, ReferenceRouter]> {
  const routers = [0, 1].map(async () => {
    const replica = await startSquelch({ redisUrl: redis.url, ...overrides });
    const { grpcAddress: address } = replica;
    replicas.push(replica);
    const options = { listen: "127.0.0.1:0", jwtSecret: SECRET, checkpointIntervalMs: 1_000, logger };
    const router = await startReferenceRouter({ address, ...options });
    closers.push(
      () => replica.close(),
      () => router.close(),
    );
    return router;
  });
  return Promise.all(routers) as Promise<[ReferenceRouter, ReferenceRouter]>;
}

/** Cuts all speakers without a latch. */
async function cutAll(): Promise<void> {
  const client = connect(replicas.at(-1)?.grpcAddress ?? "");
  const duration = { seconds: 0n };
  await client.unary(PermissionService.method.pauseAllSpeakers, { eventId: "e1", reason: "Fire", duration });
  client.close();
}

async function join(router: ReferenceRouter, userId: string, claims: Record<string, unknown> = {}): Promise<WsClient> {
  const token = await signToken(SECRET, { userId, eventId: "e1", channelIds: ["a"], ...claims });
  const client = await WsClient.connect(router.wsAddress, token);
  closers.push(() => client.socket.terminate());
  expect(await client.request("join-channel", CHANNEL)).toMatchObject({ data: { success: true } });
  return client;
}

/** The replies to one request so far, in order. */
function repliesTo(client: WsClient, id: string | undefined) {
  return client.frames.filter((frame) => frame.id === id).map(({ data }) => data);
}

describe("a client of the reference router that asks to wait", () => {
  it("gets its place, and the floor as soon as the speaker on another router releases it", async () => {
    const [here, there] = await startRouters();
    const speaker = await join(here, "u0");
    const [first, second] = [await join(there, "u1"), await join(here, "u2")];
    await speaker.request("ptt-start", CHANNEL);
    const queued = await first.request("ptt-start", WAITING);
    const place = { success: false, queued: true, queuePosition: 1, queueLength: 1 };
    expect(queued.data).toEqual({ ...place, currentSpeaker: "u0", currentSpeakerName: "u0" });
    const behind = await second.request("ptt-start", WAITING);
    expect(behind.data).toMatchObject({ queued: true, queuePosition: 2, queueLength: 2 });
    // A client that does not ask to wait is denied.
    const impatient = await join(there, "u3");
    expect(await impatient.request("ptt-start", CHANNEL)).toMatchObject({ data: { denied: true } });

    await speaker.request("ptt-stop", CHANNEL);
    await waitFor(() => repliesTo(first, queued.id).length === 2, { message: "the grant" });
    expect(repliesTo(first, queued.id)[1]).toMatchObject({ success: true, state: { currentSpeaker: "u1" } });
    // No client gets a message about a free channel in between.
    await impatient.next("speaker-changed");
    expect(impatient.of("speaker-changed").map(({ data }) => data.currentSpeaker)).toEqual(["u1"]);
    // The client gets its new place when the next repeat finds that it has changed.
    await waitFor(() => repliesTo(second, behind.id).length === 2, { message: "the new place" });
    expect(repliesTo(second, behind.id)[1]).toMatchObject({ queued: true, queuePosition: 1, currentSpeaker: "u1" });
    // A lease from the queue ends after 3 s if it is not renewed.
    const { expiresAt, timestamp } = JSON.parse(await redis.cli("GET", "channel:a:speaker"));
    expect(expiresAt - timestamp).toBeGreaterThanOrEqual(6_000);
    expect(await first.request("ptt-stop", CHANNEL)).toMatchObject({ data: { success: true } });
    await waitFor(() => repliesTo(second, behind.id).at(-1)?.success === true, { message: "the grant" });
    expect(first.of("ptt-interrupted")).toEqual([]);
  });

  it("gives up its place when the button is released, and when it disconnects", async () => {
    const [here, there] = await startRouters();
    const [speaker, tired, gone, last] = await Promise.all([
      join(here, "u0"),
      join(there, "u1"),
      join(there, "u2"),
      join(here, "u3"),
    ]);
    await speaker.request("ptt-start", CHANNEL);
    await tired.request("ptt-start", WAITING);
    await gone.request("ptt-start", WAITING);
    expect((await last.request("ptt-start", WAITING)).data).toMatchObject({ queuePosition: 3 });
    expect(await tired.request("ptt-stop", CHANNEL)).toMatchObject({
      data: { success: true, state: { currentSpeaker: "u0" } },
    });
    await gone.close();
    await waitFor(() => last.frames.at(-1)?.data.queuePosition === 1, { message: "the first place" });
    await speaker.request("ptt-stop", CHANNEL);
    expect((await speaker.next("speaker-changed", 2)).data.currentSpeaker).toBe("u3");
    expect(tired.of("ptt-denied")).toEqual([]);
  });

  it("is denied when a pause ends all waiting, and when the channel is revoked (G5)", async () => {
    const [here, there] = await startRouters();
    const [speaker, held, revoked] = [await join(here, "u0"), await join(there, "u1"), await join(there, "u2")];
    const dispatcher = await join(here, "dora", { role: "DISPATCH" });
    await speaker.request("ptt-start", CHANNEL);
    const waiting = await revoked.request("ptt-start", WAITING);
    const update = { eventId: "e1", userId: "u2", channelIds: [], action: "set_user_channels" };
    await redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify(update));
    expect((await revoked.next("ptt-denied")).data).toMatchObject({ cause: "receiveOnly" });
    expect(repliesTo(revoked, waiting.id).at(-1)).toMatchObject({ denied: true });

    expect((await held.request("ptt-start", WAITING)).data).toMatchObject({ queued: true, queuePosition: 1 });
    await dispatcher.request("emergency-broadcast-start");
    expect((await held.next("ptt-denied")).data).toMatchObject({ cause: "retryAfter" });
    await dispatcher.request("emergency-broadcast-stop");
    expect((await held.next("speaker-changed", 3)).data.currentSpeaker).toBeNull();
  });

  it("is denied when all speakers are cut without a latch, and does not speak instead of them", async () => {
    const [here, there] = await startRouters();
    const [speaker, first, second] = [await join(here, "u0"), await join(there, "u1"), await join(there, "u2")];
    await speaker.request("ptt-start", CHANNEL);
    const waiting = [await first.request("ptt-start", WAITING), await second.request("ptt-start", WAITING)];
    await cutAll();
    for (const client of [first, second]) {
      expect((await client.next("ptt-denied")).data).toMatchObject({ cause: "retryAfter", message: "Fire" });
    }
    expect(repliesTo(first, waiting[0]?.id).at(-1)).toMatchObject({ denied: true });
    expect(await redis.cli("EXISTS", "channel:a:speaker")).toBe("0");
    expect(await second.request("ptt-start", CHANNEL)).toMatchObject({ data: { success: true } });
  });

  it("is denied if waiting is not allowed", async () => {
    const [here] = await startRouters({ floorQueueLimit: "0" });
    const [speaker, other] = [await join(here, "u0"), await join(here, "u1")];
    await speaker.request("ptt-start", CHANNEL);
    expect(await other.request("ptt-start", WAITING)).toMatchObject({ data: { denied: true, currentSpeaker: "u0" } });
    expect(await other.request("ptt-start", { channelId: "a", queue: 1 })).toMatchObject({
      error: "queue must be true or false",
    });
  });

  it.each([
    ["deletes its lock", (raw: Redis, key: string) => raw.del(key)],
    ["lets it run out", (raw: Redis, key: string) => raw.pexpire(key, 1)],
  ])("has the floor soon after a router that writes Redis itself %s without a message", async (_, end) => {
    const [here] = await startRouters();
    const client = await join(here, "u1");
    const raw = new Redis(redis.url);
    closers.push(() => raw.disconnect());
    const key = "channel:a:speaker";
    await raw.set(key, JSON.stringify({ userId: "legacy", userName: "L", timestamp: Date.now() }), "EX", 30, "NX");
    const waiting = await client.request("ptt-start", WAITING);
    expect(waiting.data).toMatchObject({ queued: true, currentSpeaker: "legacy" });
    await end(raw, key);
    await waitFor(() => repliesTo(client, waiting.id).length === 2, { message: "the grant" });
    expect(repliesTo(client, waiting.id)[1]).toMatchObject({ success: true });
  });
});
