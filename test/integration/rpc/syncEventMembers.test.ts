import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import { createConnection } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import type { Replica } from "../../../src/server/start.js";
import { encodeSync, openSync, SYNC_PATH, sync } from "../../support/clients/syncClient.js";
import { connect, watchOn } from "../../support/clients/watchClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const permissions = PermissionService.method;

let redis: RedisServer;
let replica: Replica;
let client: GrpcClient;
let eventId: string;
beforeAll(async () => {
  redis = await startRedis();
  replica = await startSquelch({ redisUrl: redis.url });
  client = connect(replica.grpcAddress);
});
afterAll(async () => {
  client?.close();
  await replica?.close();
  await redis?.stop();
});
beforeEach(() => {
  eventId = randomUUID();
});

const channel = () => `${eventId}-a`;
const assign = () => client.unary(permissions.setUserChannels, { eventId, userId: "old", channelIds: [channel()] });
const half = () => ({ eventId, users: [{ userId: "new", channelIds: [channel()] }] });

async function expectNothingChanged() {
  // A later stream has ended, so all work for an earlier stream is done too.
  await sync(client, { eventId: randomUUID() });
  const read = (userId: string) => client.unary(permissions.getUserPermissions, { eventId, userId });
  expect(await read("old")).toMatchObject({ channelIds: [channel()], cursor: { revision: 1n } });
  expect(await read("new")).toMatchObject({ known: false });
}

describe("SyncEventMembers", () => {
  it("replaces the memberships of an event at the end of the stream, and a repeat changes nothing", async () => {
    await assign();
    const users = Array.from({ length: 10 }, (_, index) => ({ userId: `u${index}`, channelIds: [channel()] }));
    const requests = [{ eventId }, ...users.map((user) => ({ users: [user] })), { eventId }];
    expect(await sync(client, ...requests)).toMatchObject({ revision: 12n, changedUsers: 11, revokedUsers: 1 });
    expect(await sync(client, ...requests)).toMatchObject({ revision: 12n, changedUsers: 0, revokedUsers: 0 });
    const old = await client.unary(permissions.getUserPermissions, { eventId, userId: "old" });
    expect(old).toMatchObject({ known: true, channelIds: [] });
  });

  it("G2, G3: a watcher receives each of thousands of changes, in order", async () => {
    const watch = watchOn(client, { eventIds: [eventId] });
    await watch.caughtUp();
    const users = Array.from({ length: 5_000 }, (_, index) => ({ userId: `u${index}`, channelIds: [channel()] }));
    await sync(client, { eventId, users });
    await waitFor(() => watch.picture.changes.length === users.length, { message: "every change" });
    expect(watch.picture.channelsOf(eventId, "u4999")).toEqual([channel()]);
    await sync(client, { eventId, users: users.slice(0, 10) });
    await waitFor(() => watch.picture.changes.length === 2 * users.length - 10, { message: "every revocation" });
    expect(watch.picture.channelsOf(eventId, "u4999")).toEqual([]);
    expect(watch.error).toBeUndefined();
    watch.close();
  });

  it("a watcher of an event that changes more than the log keeps gets a snapshot", async () => {
    const watch = watchOn(client, { eventIds: [eventId] });
    await watch.caughtUp();
    const users = Array.from({ length: 11_000 }, (_, index) => ({ userId: `u${index}`, channelIds: [channel()] }));
    await sync(client, { eventId, users });
    await waitFor(() => watch.picture.channelsOf(eventId, "u10999")?.length === 1, { message: "the whole picture" });
    expect(watch.picture.channelsOf(eventId, "u0")).toEqual([channel()]);
    expect(watch.error).toBeUndefined();
    watch.close();
  });

  it("records the action and the actor of the changes", async () => {
    const watch = watchOn(client, { eventIds: [eventId] });
    await watch.caughtUp();
    await sync(client, half());
    await waitFor(() => watch.picture.changes.length === 1);
    expect(watch.picture.changes[0]).toMatchObject({
      actor: "anonymous",
      kind: { case: "membershipChanged", value: { userId: "new", action: "sync_event_members" } },
    });
    watch.close();
  });

  it("is in one order with the updates of the control plane", async () => {
    const publish = (userId: string) =>
      redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify({ eventId, userId, channelIds: [channel()] }));
    const has = async (userId: string) =>
      (await client.unary(permissions.getUserPermissions, { eventId, userId })).channelIds.length > 0;
    await publish("before");
    await waitFor(() => has("before"));
    await sync(client, half());
    expect(await has("before")).toBe(false);
    await publish("after");
    await waitFor(() => has("after"));
    expect(await has("new")).toBe(true);
  });

  it("limits only the work after the end of the stream to 2 s", async () => {
    const stream = openSync(client);
    stream.write(half());
    await sleep(2_200);
    stream.end();
    expect(await stream.answer).toMatchObject({ changedUsers: 1 });
  });

  it("takes at most 100,000 users", async () => {
    await assign();
    const stream = openSync(client);
    const user = (index: number) => ({ userId: `u${index}` });
    for (let first = 0; first < 100_000; first += 1_000) {
      stream.write({ eventId, users: Array.from({ length: 1_000 }, (_, index) => user(first + index)) });
    }
    stream.write({ users: [user(100_000)] });
    await expect(stream.answer).rejects.toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
      details: expect.stringContaining("at most 100000 users"),
    });
    await expectNothingChanged();
  });
});

describe("a stream that breaks half way changes nothing", () => {
  beforeEach(assign);

  it("cancelled by the client", async () => {
    const stream = openSync(client);
    stream.write(half());
    await client.unary(permissions.getUserPermissions, { eventId, userId: "old" });
    stream.cancel();
    await expect(stream.answer).rejects.toMatchObject({ code: status.CANCELLED });
    await expectNothingChanged();
  });

  it("past its deadline", async () => {
    const stream = openSync(client, { deadline: Date.now() + 200 });
    stream.write(half());
    await expect(stream.answer).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED });
    await expectNothingChanged();
  });

  it("with a message that is too large", async () => {
    const stream = openSync(client);
    stream.write(half());
    stream.write({ users: [{ userId: "x".repeat(5 << 20) }] });
    stream.end();
    await expect(stream.answer).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    await expectNothingChanged();
  });

  it.each([
    ["a channel of another event", { users: [{ userId: "x", channelIds: ["foreign"] }] }, status.FAILED_PRECONDITION],
    ["a user twice", { users: [{ userId: "new" }] }, status.INVALID_ARGUMENT],
  ])("with %s", async (_, last, code) => {
    await client.unary(permissions.setUserChannels, { eventId: "other", userId: "u", channelIds: ["foreign"] });
    await expect(sync(client, half(), last)).rejects.toMatchObject({ code });
    await expectNothingChanged();
  });

  it("because the replica shuts down, and the error says so at once", async () => {
    const second = await startSquelch({ redisUrl: redis.url, drainTimeout: "10s" });
    const secondClient = connect(second.grpcAddress);
    const stream = openSync(secondClient);
    stream.write(half());
    await secondClient.unary(permissions.getUserPermissions, { eventId, userId: "old" });
    const startedAt = performance.now();
    await Promise.all([
      expect(stream.answer).rejects.toMatchObject({
        code: status.UNAVAILABLE,
        details: expect.stringContaining("shutting down"),
      }),
      second.close(),
    ]);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    secondClient.close();
    await expectNothingChanged();
  });

  describe("below gRPC", () => {
    let session: ClientHttp2Session;
    const ping = () => new Promise((resolve) => void session.ping(resolve));

    /** Opens a stream, sends the first half, and waits until the replica has it. */
    async function openRaw() {
      const [host = "", port = ""] = replica.grpcAddress.split(":");
      const socket = createConnection(Number(port), host);
      session = connectHttp2(`http://${replica.grpcAddress}`, { createConnection: () => socket });
      session.on("error", () => undefined);
      const stream = session.request({
        ":method": "POST",
        ":path": SYNC_PATH,
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream.on("error", () => undefined);
      const message = encodeSync(half());
      const head = Buffer.alloc(5);
      head.writeUInt32BE(message.length, 1);
      stream.write(Buffer.concat([head, message]));
      await ping();
      return { stream, socket };
    }

    it.each([
      ["NO_ERROR", constants.NGHTTP2_NO_ERROR],
      ["CANCEL", constants.NGHTTP2_CANCEL],
      ["INTERNAL_ERROR", constants.NGHTTP2_INTERNAL_ERROR],
    ])("reset with %s", async (_, code) => {
      const { stream } = await openRaw();
      stream.close(code);
      await ping();
      await expectNothingChanged();
      session.destroy();
    });

    it("reset just after its end, as Node.js does when it cancels", async () => {
      const { stream } = await openRaw();
      stream.end();
      // The longest delay of the second packet.
      await sleep(30);
      stream.close(constants.NGHTTP2_CANCEL);
      await expectNothingChanged();
      session.destroy();
    });

    it.each([
      ["connection is reset", "resetAndDestroy"],
      ["connection is closed", "end"],
    ] as const)("the %s", async (_, how) => {
      const { socket } = await openRaw();
      const closed = once(socket, "close");
      socket[how]();
      await closed;
      await expectNothingChanged();
    });

    it("the session is destroyed", async () => {
      const { socket } = await openRaw();
      const closed = once(socket, "close");
      session.destroy();
      await closed;
      await expectNothingChanged();
    });
  });
});
