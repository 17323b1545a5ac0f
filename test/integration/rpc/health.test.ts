import { connect } from "node:http2";
import { Client, credentials, status } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { findFreePort } from "../../support/childProcess.js";
import { startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const teardowns: (() => unknown)[] = [];
afterEach(async () => {
  for (const teardown of teardowns.splice(0).reverse()) await teardown();
});

const SERVING = 1;
const NOT_SERVING = 2;
const SERVICE_UNKNOWN = 3;

const PATH = { check: "/grpc.health.v1.Health/Check", watch: "/grpc.health.v1.Health/Watch" };

// Encodes grpc.health.v1 by hand: field 1 of a request is the service, field 1 of an answer is the status.
function requestOf(service: string): Buffer {
  const length: number[] = [];
  let rest = service.length;
  for (; rest > 127; rest >>>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([10, ...length, rest]), Buffer.from(service)]);
}

function check(client: Client, service: string): Promise<number | undefined> {
  const request = requestOf(service);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      PATH.check,
      () => request,
      (bytes) => bytes[1],
      null,
      (error, status) => (error === null ? resolve(status) : reject(error)),
    );
  });
}

async function start(redisUrl?: string) {
  const replica = await startSquelch(redisUrl === undefined ? {} : { redisUrl });
  const client = new Client(replica.grpcAddress, credentials.createInsecure());
  teardowns.push(
    () => replica.close(),
    () => client.close(),
  );
  return { replica, client };
}

describe("health", () => {
  it("is reported by gRPC for the server and each service, and by HTTP", async () => {
    const { replica, client } = await start();
    for (const service of ["", "squelch.v1.PermissionService", "squelch.v1.ChannelService"]) {
      expect(await check(client, service)).toBe(SERVING);
    }
    await expect(check(client, "squelch.v1.Nothing")).rejects.toMatchObject({ code: 5 });
    const get = async (path: string) => (await fetch(`http://${replica.httpAddress}${path}`)).status;
    expect([await get("/healthz"), await get("/readyz"), await get("/nothing")]).toEqual([200, 200, 404]);
  });

  it("is sent to a watch when it changes, and an unknown service is answered and not stored", async () => {
    const port = await findFreePort();
    const { replica, client } = await start(`redis://127.0.0.1:${port}`);
    const watch = (name: string) => {
      const statuses: (number | undefined)[] = [];
      const call = client.makeServerStreamRequest(
        PATH.watch,
        () => requestOf(name),
        (bytes) => bytes[1],
        null,
      );
      call.on("data", (answer) => statuses.push(answer)).on("error", () => undefined);
      return { call, statuses };
    };
    const own = watch("squelch.v1.PermissionService");
    const unknown = watch("squelch.v1.Nothing");
    await waitFor(() => own.statuses.length > 0 && unknown.statuses.length > 0);
    const redis = await startRedis({ port });
    await waitFor(() => own.statuses.includes(SERVING), { timeoutMs: 15_000 });
    expect([own.statuses, unknown.statuses]).toEqual([[NOT_SERVING, SERVING], [SERVICE_UNKNOWN]]);
    for (const { call } of [own, unknown]) call.cancel();
    await replica.close();
    await redis.stop();
  });

  it("pitfall 48: accepts requests of at most 1 KiB, and 1,000 calls on a connection", async () => {
    const { replica, client } = await start();
    expect(await check(client, "").catch(() => undefined)).toBe(SERVING);
    await expect(check(client, "x".repeat(1_000))).rejects.toMatchObject({ code: status.NOT_FOUND });
    for (const length of [1_100, 3_900_000]) {
      await expect(check(client, "x".repeat(length))).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    }
    const session = connect(`http://${replica.grpcAddress}`);
    teardowns.push(() => session.destroy());
    await waitFor(() => session.remoteSettings.maxConcurrentStreams === 1_000);
  });

  it("is not serving, but alive, until changes from Redis are proven to arrive (pitfalls 7, 28)", async () => {
    const port = await findFreePort();
    const { replica, client } = await start(`redis://127.0.0.1:${port}`);
    expect(await check(client, "")).toBe(NOT_SERVING);
    const ready = await fetch(`http://${replica.httpAddress}/readyz`);
    expect([ready.status, await ready.json()]).toMatchObject([503, { ready: false }]);
    expect((await fetch(`http://${replica.httpAddress}/healthz`)).status).toBe(200);
    const redis = await startRedis({ port });
    await waitFor(async () => (await check(client, "")) === SERVING, { timeoutMs: 15_000 });
    // Before the Redis it is connected to.
    await replica.close();
    await redis.stop();
  });
});
