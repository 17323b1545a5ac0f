import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLogger } from "../../../../src/lib/logger.js";
import { PermissionClient, type PermissionClientOptions } from "../../../../src/router/client/permissionClient.js";
import { FakePermissionServer } from "../../../support/fakes/fakePermissionServer.js";
import { waitFor } from "../../../support/waitFor.js";

let server: FakePermissionServer;
let clients: PermissionClient[];

beforeEach(async () => {
  server = await new FakePermissionServer().start();
  clients = [];
});

afterEach(async () => {
  await Promise.all(clients.map((client) => client.close()));
  server.stop();
});

function startClient(options: Partial<PermissionClientOptions> = {}) {
  const client = new PermissionClient({
    address: server.address,
    routerId: "router-1",
    checkpointIntervalMs: 1_000,
    retryDelayMs: () => 10,
    logger: createLogger("test", "silent"),
    ...options,
  });
  clients.push(client);
  client.start();
  return { client };
}

describe("PermissionClient.whenFresh", () => {
  it("resolves when permissions are known, and at once while they are", async () => {
    server.setUserChannels("e1", "u1", ["a"]);
    const { client } = startClient();
    await client.whenFresh();
    expect(client.permissionsOf("e1", "u1")).toEqual(["a"]);
    await client.whenFresh(AbortSignal.abort());
  });

  it("waits while the replica's feed is not healthy, or no replica answers", async () => {
    server.feedHealthy = false;
    const { client } = startClient();
    let isFresh = false;
    const fresh = client.whenFresh().then(() => {
      isFresh = true;
    });
    await waitFor(() => server.watches.length === 1);
    server.stop();
    await waitFor(() => server.watches.every((watch) => !watch.isOpen));
    expect(isFresh).toBe(false);
    server.feedHealthy = true;
    await server.start();
    await fresh;
  });

  it.each([
    [status.UNAUTHENTICATED, "unauthenticated"],
    [status.PERMISSION_DENIED, "permissionDenied"],
    [status.INVALID_ARGUMENT, "invalidArgument"],
    [status.UNIMPLEMENTED, "unimplemented"],
  ])("rejects when the replica refuses the watch with status %i, also in later calls", async (refusal, code) => {
    server.serve = (watch) => watch.fail(refusal);
    const { client } = startClient({ retryDelayMs: () => 60_000 });
    const expected = { name: "SquelchError", code, message: "ended by the test", cause: { code: refusal } };
    await expect(client.whenFresh()).rejects.toMatchObject(expected);
    await expect(client.whenFresh()).rejects.toMatchObject(expected);
  });

  it("resolves after a refusal that has ended", async () => {
    const { serve } = server;
    server.serve = (watch) => watch.fail(status.UNAUTHENTICATED);
    const { client } = startClient();
    await expect(client.whenFresh()).rejects.toMatchObject({ code: "unauthenticated" });
    server.serve = serve;
    await waitFor(() => client.isFresh);
    await client.whenFresh();
  });

  it("rejects when the client is closed, when it was not started, and when the signal ends the wait", async () => {
    const neverStarted = new PermissionClient({ address: server.address, routerId: "router-2" });
    clients.push(neverStarted);
    await expect(neverStarted.whenFresh()).rejects.toMatchObject({ message: /call start\(\) first/ });
    server.feedHealthy = false;
    const { client } = startClient();
    const reason = new Error("enough");
    const controller = new AbortController();
    const aborted = expect(client.whenFresh(controller.signal)).rejects.toBe(reason);
    controller.abort(reason);
    await aborted;
    const closed = expect(client.whenFresh()).rejects.toMatchObject({
      code: "failedPrecondition",
      message: "the client is closed",
    });
    await client.close();
    await closed;
    await expect(client.whenFresh()).rejects.toMatchObject({ message: "the client is closed" });
  });
});
