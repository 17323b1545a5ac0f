import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Cursor } from "../../../../gen/squelch/v1/model_pb.js";
import { SnapshotReason } from "../../../../gen/squelch/v1/permission_service_pb.js";
import { backoffMs } from "../../../../src/lib/backoff.js";
import { createLogger } from "../../../../src/lib/logger.js";
import { PermissionClient, type PermissionClientOptions } from "../../../../src/router/client/permissionClient.js";
import type { PermissionEvents } from "../../../../src/router/client/permissionEvents.js";
import { FakePermissionServer, type FakeWatch } from "../../../support/fakes/fakePermissionServer.js";
import { waitFor } from "../../../support/waitFor.js";

/** Short intervals, for tests that wait for them. */
const SHORT_INTERVAL_MS = 200;

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

type ReceivedEvents = { [Name in keyof PermissionEvents]: [Name, ...PermissionEvents[Name]] }[keyof PermissionEvents][];

const EVENTS = [
  "change",
  "revoked",
  "paused",
  "resumed",
  "floorRevoked",
  "disconnect",
  "resynced",
  "stale",
  "fresh",
] as const;

/** A client that reconnects quickly, the events that it has emitted, and the number of its attempts. */
function startClient(options: Partial<PermissionClientOptions> = {}) {
  const attempts: number[] = [];
  const client = new PermissionClient({
    address: server.address,
    routerId: "router-1",
    checkpointIntervalMs: 1_000,
    retryDelayMs: (attempt) => {
      attempts.push(attempt);
      return 10;
    },
    logger: createLogger("test", "silent"),
    ...options,
  });
  const received: ReceivedEvents = [];
  for (const name of EVENTS) {
    client.on(name, (...details: unknown[]) => received.push([name, ...details] as ReceivedEvents[number]));
  }
  const count = (name: keyof PermissionEvents) => received.filter(([eventName]) => eventName === name).length;
  clients.push(client);
  client.start();
  return {
    client,
    received,
    count,
    attempts,
    fresh: () => waitFor(() => client.isFresh, { message: "a fresh client" }),
  };
}

describe("PermissionClient", () => {
  it("mirrors the snapshot and follows the changes, through one stream", async () => {
    server.setUserChannels("e1", "u1", ["a"]);
    const { client, received, fresh } = startClient();
    await fresh();
    expect(client.permissionsOf("e1", "u1")).toEqual(["a"]);
    expect(client.permissionsOf("e1", "stranger")).toBeUndefined();
    server.setUserChannels("e1", "u1", ["b"], "reassign");
    await waitFor(() => client.permissionsOf("e1", "u1")?.includes("b"));
    expect(received.filter(([name]) => name === "revoked")).toEqual([
      [
        "revoked",
        {
          eventId: "e1",
          userId: "u1",
          channelIds: ["b"],
          added: ["b"],
          removed: ["a"],
          action: "reassign",
          revision: 2,
        },
      ],
    ]);
    server.append("e1", { case: "userDisconnected", value: { userId: "u1", reason: "banned" } });
    server.append("e1", { case: "floorRevoked", value: { channelId: "a", userId: "u1", byUserId: "u2", cause: 4 } });
    await waitFor(() => received.at(-1)?.[0] === "floorRevoked");
    expect(received.slice(-2)).toEqual([
      ["disconnect", { eventId: "e1", userId: "u1", reason: "banned", connectedBeforeMs: Number.POSITIVE_INFINITY }],
      [
        "floorRevoked",
        { eventId: "e1", channelId: "a", userId: "u1", startedAtMs: 0, byUserId: "u2", cause: "preEmpted" },
      ],
    ]);
    expect(server.watches).toHaveLength(1);
    expect(server.watches[0]?.request).toMatchObject({ eventIds: [], userIds: [], routerId: "router-1" });
  });

  it("G1, G3: resumes by cursor after the connection was lost, and receives what happened meanwhile", async () => {
    server.setUserChannels("e1", "u1", ["a"]);
    const { client, received, fresh, count } = startClient();
    await fresh();
    server.stop();
    await waitFor(() => count("stale") === 1);
    expect(client.permissionsOf("e1", "u1"), "stale data is kept").toEqual(["a"]);
    server.setUserChannels("e1", "u1", ["a", "b"]);
    server.setUserChannels("e1", "u1", []);
    await server.start();
    await waitFor(() => count("fresh") === 2, { timeoutMs: 10_000 });
    expect(client.permissionsOf("e1", "u1")).toEqual([]);
    expect(server.watches.at(-1)?.request.cursors).toMatchObject([{ eventId: "e1", epoch: "epoch-1", revision: 1n }]);
    expect(count("resynced"), "a resume needs no second snapshot").toBe(1);
    const changes = received.flatMap(([name, change]) => (name === "change" ? [change.revision] : []));
    expect(changes).toEqual([1, 2, 3]);
  });

  it("pitfall 7: connects as soon as there is a replica", async () => {
    server.stop();
    const { client } = startClient({ retryDelayMs: () => 100 });
    await waitFor(() => client.rpc.raw.getChannel().getConnectivityState(false) === 3);
    await server.start();
    await waitFor(() => client.isFresh, { timeoutMs: 10_000 });
  });

  it("G1: a restored connection ends the wait", async () => {
    const { client, fresh } = startClient({ retryDelayMs: () => 60_000 });
    await fresh();
    server.stop();
    await waitFor(() => !client.isFresh);
    await server.start();
    await waitFor(() => client.isFresh, { timeoutMs: 10_000 });
  });

  it("G1: after a restored connection the waits are short again, also if the first attempt comes too early", async () => {
    server.stop();
    const waits: number[] = [];
    startClient({ retryDelayMs: (attempt) => (waits.push(attempt) < 6 ? 10 : 60_000) });
    await waitFor(() => waits.length === 6);
    server.serve = (watch) => watch.fail(status.UNAVAILABLE);
    await server.start();
    await waitFor(() => waits.length === 7, { timeoutMs: 10_000 });
    expect(waits).toEqual([1, 2, 3, 4, 5, 6, 2]);
  });

  it("pitfalls 24, 25: after a new epoch of the store the client gets a snapshot, and emits its differences", async () => {
    server.setUserChannels("e1", "u1", ["a", "b"]);
    server.setUserChannels("e1", "u2", ["a"]);
    const { client, received, fresh, count } = startClient();
    await fresh();
    server.reset("e1", "epoch-2", { u1: ["b", "c"] });
    server.watches[0]?.fail(status.UNAVAILABLE);
    await waitFor(() => count("resynced") === 2);
    expect(client.permissionsOf("e1", "u1")).toEqual(["b", "c"]);
    expect(client.permissionsOf("e1", "u2")).toBeUndefined();
    const reported = received.flatMap(([name, change]) =>
      name === "change" && change.action === "snapshot" && change.revision === 0 ? [change] : [],
    );
    expect(reported).toMatchObject([
      { userId: "u1", added: ["c"], removed: ["a"] },
      { userId: "u2", added: [], removed: ["a"] },
    ]);
  });

  it("applies a snapshot when its last chunk has arrived; another first chunk starts over", async () => {
    const chunk = (revision: bigint, chunkIndex: number, userId: string, complete: boolean) => ({
      case: "snapshot" as const,
      value: {
        eventId: "e1",
        cursor: { eventId: "e1", epoch: "x", revision },
        users: [{ userId, channelIds: ["a"] }],
        reason: SnapshotReason.INITIAL,
        chunkIndex,
        complete,
      },
    });
    server.serve = (watch) => {
      watch.send(chunk(1n, 0, "dropped", false));
      watch.checkpoint([{ eventId: "e1", epoch: "x", revision: 1 }]);
      watch.send(chunk(2n, 0, "u1", false));
    };
    const { client, received } = startClient();
    const watch = await waitFor(() => server.watches[0]);
    await client.refreshUser("e1", "stranger");
    expect(client.permissionsOf("e1", "u1"), "not complete").toBeUndefined();
    watch.send(chunk(2n, 1, "u2", true));
    watch.checkpoint([{ eventId: "e1", epoch: "x", revision: 2 }]);
    await waitFor(() => client.isFresh);
    expect(client.permissionsOf("e1", "u1")).toEqual(["a"]);
    expect(client.permissionsOf("e1", "u2")).toEqual(["a"]);
    expect(client.permissionsOf("e1", "dropped")).toBeUndefined();
    expect(received.at(-1)).toEqual(["fresh"]);
  });

  it("waits longer after each failure, and briefly again only after a healthy stream", async () => {
    server.serve = (watch) => watch.fail(status.UNAVAILABLE);
    const { attempts, fresh } = startClient({ eventIds: ["e1"] });
    await waitFor(() => attempts.length >= 3);
    const inVain = attempts.length;
    // An open stream that is not caught up does not count as a success.
    server.serve = (watch) => {
      watch.checkpoint([]);
      watch.fail(status.UNAVAILABLE);
    };
    await waitFor(() => attempts.length >= inVain + 3);
    expect(attempts).toEqual(attempts.map((_, index) => index + 1));
    server.serve = (watch) => server.serveStore(watch);
    await fresh();
    attempts.length = 0;
    server.openWatches[0]?.fail(status.UNAVAILABLE);
    await waitFor(() => attempts.length === 1);
    expect(attempts).toEqual([1]);
    expect([1, 2, 3, 4, 5, 6, 7].map((attempt) => backoffMs(attempt, () => 0))).toEqual([
      1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000,
    ]);
  });

  it.each([
    ["when the replica asks for it", { "grpc-retry-pushback-ms": "0" }],
    ["a moment later where a replica can be reached", {}],
  ])("pitfall 34: a healthy stream that was lost is opened again %s, once", async (_when, trailers) => {
    const delays: number[] = [];
    const { fresh } = startClient({ retryDelayMs: (attempt) => delays.push(attempt) && 60_000 });
    await fresh();
    server.openWatches[0]?.fail(status.UNAVAILABLE, trailers);
    await waitFor(() => server.watches.length === 2);
    await fresh();
    server.serve = (watch) => watch.fail(status.UNAVAILABLE, trailers);
    server.openWatches[0]?.fail(status.UNAVAILABLE, trailers);
    await waitFor(() => delays.length === 3);
    expect(delays).toEqual([1, 1, 2]);
    expect(server.watches).toHaveLength(3);
  });

  it("pitfall 34: a stream lost for another reason is opened again after the back-off", async () => {
    const delayMs = 700;
    const { fresh } = startClient({ retryDelayMs: () => delayMs });
    await fresh();
    const startedAtMs = performance.now();
    server.openWatches[0]?.fail(status.INTERNAL, { "grpc-retry-pushback-ms": "0" });
    await waitFor(() => server.watches.length === 2);
    // Timers may be a millisecond early.
    expect(performance.now() - startedAtMs).toBeGreaterThan(delayMs - 2);
  });

  it.each([["INVALID_ARGUMENT"], ["UNAUTHENTICATED"], ["PERMISSION_DENIED"], ["UNIMPLEMENTED"]] as const)(
    "tries again after the longest wait if the watch was refused: %s",
    async (code) => {
      server.serve = (watch) => watch.fail(status[code]);
      const { attempts } = startClient();
      await waitFor(() => attempts.length >= 2);
      expect(new Set(attempts)).toEqual(new Set([6]));
    },
  );

  it("treats a stream that is silent for three intervals as dead", async () => {
    let opened = 0;
    server.serve = (watch) => {
      opened += 1;
      if (opened === 1) watch.checkpoint([]);
      else server.serveStore(watch);
    };
    const { fresh, count } = startClient({ checkpointIntervalMs: SHORT_INTERVAL_MS });
    await waitFor(() => opened === 2);
    await fresh();
    expect(count("stale")).toBe(1);
    await waitFor(() => server.openWatches.length === 1, { message: "the dead stream to be cancelled" });
  });

  it("pitfall 28: is stale while the feed is not healthy, and fresh again afterwards", async () => {
    const { client, fresh, count } = startClient({ checkpointIntervalMs: SHORT_INTERVAL_MS });
    await fresh();
    server.feedHealthy = false;
    await waitFor(() => count("stale") === 1);
    expect(client.isFresh).toBe(false);
    expect(server.watches, "the stream itself is kept").toHaveLength(1);
    server.feedHealthy = true;
    await waitFor(() => count("fresh") === 2);
    expect(server.watches).toHaveLength(1);
  });

  it("pitfalls 2, 8: requests the channels of connected users while the stream is not healthy", async () => {
    server.setUserChannels("e1", "u1", ["a"]);
    server.setUserChannels("e1", "u2", ["a"]);
    const { client, received, fresh } = startClient({ heartbeatIntervalMs: 30 });
    await fresh();
    client.trackUser("e1", "u1");
    client.trackUser("e1", "gone");
    client.untrackUser("e1", "gone");
    expect(server.callsOf("getUserPermissions")).toEqual([]);
    server.serve = () => undefined;
    server.watches[0]?.fail(status.UNAVAILABLE);
    server.setUserChannels("e1", "u1", []);
    server.setUserChannels("e1", "u2", []);
    await waitFor(() => client.permissionsOf("e1", "u1")?.length === 0);
    expect(client.permissionsOf("e1", "u2"), "no client is connected").toEqual(["a"]);
    expect(received.at(-1)).toMatchObject([
      "revoked",
      { userId: "u1", removed: ["a"], action: "heartbeat", revision: 4 },
    ]);
    // A store that cannot be read must not look like a store without channels.
    server.setUserChannels("e1", "u1", ["a"]);
    await waitFor(() => client.permissionsOf("e1", "u1")?.length === 1);
    server.failing.set("getUserPermissions", status.UNAVAILABLE);
    const asked = server.callsOf("getUserPermissions").length;
    await waitFor(() => server.callsOf("getUserPermissions").length > asked + 2);
    expect(client.permissionsOf("e1", "u1")).toEqual(["a"]);
    expect(new Set(server.callsOf("getUserPermissions").map(({ userId }) => userId))).toEqual(new Set(["u1"]));
  });

  it("fails closed after the configured time, and opens again when fresh", async () => {
    server.setUserChannels("e1", "u1", ["a", "b"]);
    const { client, received, fresh } = startClient({
      checkpointIntervalMs: SHORT_INTERVAL_MS,
      failClosedAfterMs: 100,
      heartbeatIntervalMs: 20,
    });
    await fresh();
    client.trackUser("e1", "u1");
    server.feedHealthy = false;
    await waitFor(() => client.permissionsOf("e1", "u1")?.length === 0);
    expect(received.slice(-2)).toMatchObject([
      ["change", { userId: "u1", channelIds: [], removed: ["a", "b"], action: "fail-closed" }],
      ["revoked", { userId: "u1", channelIds: [], removed: ["a", "b"] }],
    ]);
    server.setUserChannels("e1", "u1", ["b", "c"]);
    server.feedHealthy = true;
    await fresh();
    expect(client.permissionsOf("e1", "u1")).toEqual(["b", "c"]);
    expect(received.slice(-2)).toMatchObject([
      ["fresh"],
      ["change", { userId: "u1", channelIds: ["b", "c"], added: ["b", "c"], removed: [], action: "restored" }],
    ]);
  });

  it.each<[string, (watch: FakeWatch) => void]>([
    [
      "a gap",
      (watch) =>
        watch.send({ case: "changes", value: { eventId: "e1", epoch: "epoch-1", changes: [{ revision: 9n }] } }),
    ],
    [
      "another epoch",
      (watch) => watch.send({ case: "changes", value: { eventId: "e1", epoch: "?", changes: [{ revision: 2n }] } }),
    ],
    [
      "a checkpoint beyond what was delivered",
      (watch) => watch.checkpoint([{ eventId: "e1", epoch: "epoch-1", revision: 9 }]),
    ],
    ["a chunk out of place", (watch) => watch.send({ case: "snapshot", value: { eventId: "e1", chunkIndex: 3 } })],
  ])("G2, pitfall 27: %s ends the stream; the event starts over without a cursor", async (_what, violate) => {
    server.setUserChannels("e1", "u1", ["a"]);
    server.setUserChannels("e2", "u1", ["x"]);
    const { client, fresh, count } = startClient();
    await fresh();
    violate(server.watches[0] as FakeWatch);
    await waitFor(() => server.watches.length === 2);
    expect(server.watches[1]?.request.cursors.map(({ eventId }) => eventId)).toEqual(["e2"]);
    await fresh();
    expect(count("resynced")).toBe(3);
    expect(client.permissionsOf("e1", "u1")).toEqual(["a"]);
    server.openWatches[0]?.fail(status.UNAVAILABLE);
    await waitFor(() => server.watches.length === 3);
    expect(server.watches[2]?.request.cursors).toHaveLength(2);
  });

  it("pitfall 26: an empty event does not delay the client", async () => {
    const { client, count } = startClient({ eventIds: ["empty"] });
    await waitFor(() => client.isFresh);
    expect(count("resynced")).toBe(1);
  });

  it("spreads its calls over all replicas, and continues with the remaining one", async () => {
    const other = await new FakePermissionServer().start();
    try {
      const { client, fresh } = startClient({ address: `${server.address},${other.address}` });
      await fresh();
      const both = () =>
        server.callsOf("getUserPermissions").length > 0 && other.callsOf("getUserPermissions").length > 0;
      await waitFor(async () => {
        await client.refreshUser("e1", "u1");
        return both();
      });
      const [serving, idle] = server.openWatches.length > 0 ? [server, other] : [other, server];
      serving.stop();
      await waitFor(() => idle.openWatches.length === 1);
      await waitFor(() => client.isFresh);
    } finally {
      other.stop();
    }
  });

  describe("reports applied changes", () => {
    const reports = (): Record<string, number | boolean>[] =>
      server.callsOf("reportApplied").map(({ cursors, leaving }) => {
        const revisions = (cursors as Cursor[]).map(({ eventId, revision }) => [eventId, Number(revision)] as const);
        return { ...Object.fromEntries(revisions), ...(leaving === true && { leaving }) };
      });

    it("after its listeners have acted, at once for urgent changes", async () => {
      server.setUserChannels("e1", "u1", ["a"]);
      const { client, fresh } = startClient();
      await fresh();
      await waitFor(() => reports().length === 1);
      expect(server.callsOf("reportApplied")[0]).toMatchObject({
        routerId: "router-1",
        cursors: [{ eventId: "e1", epoch: "epoch-1", revision: 1n }],
        leaving: false,
      });
      const reportedWhenActing: number[] = [];
      for (const name of ["revoked", "paused", "floorRevoked", "disconnect"] as const) {
        client.on(name, () => reportedWhenActing.push(reports().length));
      }
      server.setUserChannels("e1", "u1", []);
      await waitFor(() => reports().length === 2, { timeoutMs: 900 });
      server.pause("e1", {}, 60_000);
      await waitFor(() => reports().length === 3, { timeoutMs: 900 });
      server.append("e1", { case: "floorRevoked", value: { channelId: "a", userId: "u1" } });
      await waitFor(() => reports().length === 4, { timeoutMs: 900 });
      server.append("e1", { case: "userDisconnected", value: { userId: "u1" } });
      await waitFor(() => reports().length === 5, { timeoutMs: 900 });
      expect(reports()).toEqual([1, 2, 3, 4, 5].map((e1) => ({ e1 })));
      expect(reportedWhenActing).toEqual([1, 2, 3, 4]);
    });

    it("not while a listener has not finished, and at once when it has", async () => {
      server.setUserChannels("e1", "u1", ["a"]);
      const { client, fresh } = startClient();
      await fresh();
      await waitFor(() => reports().length === 1);
      let finish = () => {};
      client.once("revoked", ({ eventId }) => {
        finish = client.deferApplied(eventId);
      });
      server.setUserChannels("e1", "u1", []);
      server.setUserChannels("e2", "u1", ["b"]);
      server.setUserChannels("e2", "u1", []);
      await waitFor(() => reports().at(-1)?.e2 === 2);
      expect(reports().every(({ e1 }) => e1 === undefined || e1 === 1)).toBe(true);
      finish();
      await waitFor(() => reports().at(-1)?.e1 === 2, { timeoutMs: 900 });
    });

    it("and sends a farewell when it is closed", async () => {
      server.setUserChannels("e1", "u1", ["a"]);
      const { client, fresh } = startClient();
      await fresh();
      await client.close();
      expect(reports().at(-1)).toEqual({ e1: 1, leaving: true });
      const other = startClient({ address: "127.0.0.1:1" });
      await other.client.close();
    });
  });

  it("emits nothing after it was closed once or several times", async () => {
    const { client, received, fresh } = startClient({ heartbeatIntervalMs: 10 });
    await fresh();
    client.trackUser("e1", "u1");
    const closed = client.close();
    expect(client.close()).toBe(closed);
    client.start();
    const reported = received.length;
    await waitFor(() => server.openWatches.length === 0);
    expect(received).toHaveLength(reported);
    expect(client.isFresh).toBe(false);
  });
});
