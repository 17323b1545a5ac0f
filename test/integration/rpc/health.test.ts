import { Client, credentials } from "@grpc/grpc-js";
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

// grpc.health.v1 by hand: a request is field 1, the service; an answer is field 1, the status.
function check(client: Client, service: string): Promise<number | undefined> {
  const request = Buffer.from([10, service.length, ...Buffer.from(service)]);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      "/grpc.health.v1.Health/Check",
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

  it("is not serving, though alive, until changes from Redis are proven to arrive (pitfalls 7, 28)", async () => {
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
