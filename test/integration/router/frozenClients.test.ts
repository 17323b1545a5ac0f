import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createLogger } from "../../../src/lib/logger.js";
import { type ReferenceRouter, startReferenceRouter } from "../../../src/router/index.js";
import { signToken, WsClient } from "../../support/clients/wsClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { startTcpProxy, type TcpProxy } from "../../support/tcpProxy.js";
import { waitFor } from "../../support/waitFor.js";

// Pitfall 37: a network that freezes sends no FIN. The frozen clients are behind a proxy, the others are not.
const SECRET = "the clients' secret";
const CHANNEL = { channelId: "a" };
const WAITING = { channelId: "a", queue: true };
/** What a loaded machine may add to each time, ms. */
const SLACK_MS = 700;

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

describe.each(["memory", "redis"])("pitfall 37, on %s: a client of a frozen network", (engine) => {
  const closers: (() => unknown)[] = [];
  let router: ReferenceRouter;
  let network: TcpProxy;

  beforeEach(async () => {
    const replica = await startSquelch(engine === "redis" ? { redisUrl: redis.url } : {});
    router = await startReferenceRouter({
      ...{ address: replica.grpcAddress, listen: "127.0.0.1:0", jwtSecret: SECRET, checkpointIntervalMs: 1_000 },
      logger: createLogger("test", "silent"),
    });
    network = await startTcpProxy(() => Number(router.wsAddress.split(":")[1]));
    closers.push(
      () => replica.close(),
      () => router.close(),
      () => network.close(),
    );
  });
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
    await redis.cli("FLUSHALL");
  });

  async function join(userId: string, address = router.wsAddress): Promise<WsClient> {
    const token = await signToken(SECRET, { userId, userName: `Name of ${userId}`, eventId: "e1", channelIds: ["a"] });
    const client = await WsClient.connect(address, token);
    closers.push(() => client.socket.terminate());
    expect(await client.request("join-channel", CHANNEL)).toMatchObject({ data: { success: true } });
    return client;
  }
  const joinBehindProxy = (userId: string) => join(userId, `127.0.0.1:${network.port}`);

  function freeze(): number {
    network.trouble("toServer", { kind: "swallowed" });
    network.trouble("toClient", { kind: "swallowed" });
    return performance.now();
  }

  const speakersOf = (client: WsClient) => client.of("speaker-changed").map(({ data }) => data.currentSpeaker);

  it("loses its floor within 6 s; a live client keeps its floor", async () => {
    const [frozen, live] = [await joinBehindProxy("anna"), await join("ben")];
    await frozen.request("ptt-start", CHANNEL);
    // After the first renewal, because the grant itself also lasts 6 s.
    await new Promise((resolve) => frozen.socket.once("ping", resolve));
    const frozenAtMs = freeze();
    await waitFor(() => speakersOf(live).at(-1) === null, { message: "the floor to be free" });
    expect(performance.now() - frozenAtMs).toBeLessThan(6_000);
    expect(await live.request("ptt-start", CHANNEL)).toMatchObject({ data: { success: true } });
    await new Promise((resolve) => setTimeout(resolve, 7_000));
    expect(speakersOf(live)).toEqual(["anna", null, "ben"]);
    expect(live.of("ptt-interrupted")).toEqual([]);
  }, 30_000);

  it("that waits is not granted, or passes the floor on within 3 s", async () => {
    const speaker = await join("anna");
    const [frozen, next] = [await joinBehindProxy("ben"), await join("cid")];
    await speaker.request("ptt-start", CHANNEL);
    expect(await frozen.request("ptt-start", WAITING)).toMatchObject({ data: { queuePosition: 1 } });
    const queued = await next.request("ptt-start", WAITING);
    expect(queued).toMatchObject({ data: { queuePosition: 2 } });
    freeze();
    await speaker.request("ptt-stop", CHANNEL);
    const releasedAtMs = performance.now();
    await waitFor(() => speakersOf(next).at(-1) === "cid", { message: "the floor to be passed on" });
    expect(performance.now() - releasedAtMs).toBeLessThan(3_000);
    await waitFor(() => next.frames.some(({ id, data }) => id === queued.id && data.success));
    expect(speakersOf(speaker)).toEqual(["anna", "ben", "cid"]);
  }, 30_000);

  it("that waits leaves the queue", async () => {
    const speaker = await join("anna");
    const [frozen, next] = [await joinBehindProxy("ben"), await join("cid")];
    await speaker.request("ptt-start", CHANNEL);
    await frozen.request("ptt-start", WAITING);
    const queued = await next.request("ptt-start", WAITING);
    freeze();
    await waitFor(() => next.frames.some(({ id, data }) => id === queued.id && data.queuePosition === 1), {
      message: "the waiting client to move up",
      timeoutMs: 6_000,
    });
    await speaker.request("ptt-stop", CHANNEL);
    await waitFor(() => speakersOf(speaker).at(-1) === "cid");
    expect(speakersOf(speaker)).toEqual(["anna", "cid"]);
  }, 30_000);

  it("loses its floor to the user's new connection at once; one that answers keeps it", async () => {
    const [frozen, other] = [await joinBehindProxy("anna"), await join("ben")];
    await frozen.request("ptt-start", CHANNEL);
    const tablet = await join("anna");
    expect(await tablet.request("ptt-start", CHANNEL)).toMatchObject({
      data: { denied: true, currentSpeaker: "anna" },
      error: "You are speaking on another connection",
    });
    expect(frozen.of("ptt-interrupted")).toEqual([]);
    freeze();
    const pressedAtMs = performance.now();
    expect(await tablet.request("ptt-start", CHANNEL)).toMatchObject({
      data: { success: true, state: { currentSpeaker: "anna" } },
    });
    expect(performance.now() - pressedAtMs).toBeLessThan(2_000 + SLACK_MS);
    expect(await other.request("ptt-start", CHANNEL)).toMatchObject({ data: { currentSpeaker: "anna" } });
    expect(await tablet.request("ptt-stop", CHANNEL)).toMatchObject({ data: { success: true } });
    expect(await other.request("ptt-start", CHANNEL)).toMatchObject({ data: { success: true } });
  }, 30_000);

  it("loses its floor also to a new connection of the user that waits", async () => {
    const frozen = await joinBehindProxy("anna");
    await frozen.request("ptt-start", CHANNEL);
    const tablet = await join("anna");
    freeze();
    expect(await tablet.request("ptt-start", WAITING)).toMatchObject({ data: { success: true } });
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect(tablet.of("ptt-interrupted"), "the floor from the queue is renewed").toEqual([]);
  }, 30_000);
});
