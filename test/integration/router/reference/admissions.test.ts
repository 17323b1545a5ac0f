import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { status } from "@grpc/grpc-js";
import { describe, expect, it, vi } from "vitest";
import { WebSocket } from "ws";
import type { ReferenceRouter } from "../../../../src/router/index.js";
import { signToken, WsClient } from "../../../support/clients/wsClient.js";
import {
  clients,
  connect,
  held,
  joinA,
  SECRET,
  server,
  startRouter,
  useRoutersOnFakeServer,
} from "../../../support/fakes/routersOnFakeServer.js";
import { waitFor } from "../../../support/waitFor.js";

useRoutersOnFakeServer();

describe("connecting", () => {
  const url = (router: ReferenceRouter, query = "") => `ws://${router.wsAddress}/ws${query}`;

  it("takes the token from the header, the query or the subprotocol", async () => {
    const router = await startRouter();
    server.setUserChannels("e1", "u1", ["a"]);
    const token = await signToken(SECRET, { userId: "u1", eventId: "e1", role: "USER", eventRole: "DISPATCH" });
    const sockets = [
      new WebSocket(url(router), { headers: { authorization: `Bearer ${token}` } }),
      new WebSocket(url(router, `?token=${token}`)),
      new WebSocket(url(router), ["voiceping", token]),
      new WebSocket(url(router), ["voiceping", `token-${token}`]),
    ];
    clients.push(...sockets.map((socket) => WsClient.on(socket)));
    for (const [index, client] of clients.entries()) {
      await client.next("channel-list");
      expect(client.frames[0]).toEqual({
        type: "channel-list",
        data: { channels: ["a"], role: "DISPATCH", globalRole: "NONE" },
      });
      expect(client.socket.protocol).toBe(index < 2 ? "" : "voiceping");
    }
  });

  it("is refused without a valid token", async () => {
    const router = await startRouter({ eventIds: ["e1"] });
    const unsigned = `${btoa('{"alg":"none"}')}.${btoa('{"userId":"u1","eventId":"e1"}')}.`.replaceAll("=", "");
    const tokens: [string, string][] = [
      ["401", unsigned],
      ["401", "nonsense"],
      ["401", await signToken("another secret", { userId: "u1", eventId: "e1" })],
      ["401", await signToken(SECRET, { userId: "u1", eventId: "e1" }, "-10s")],
      ["401 Invalid token: eventId", await signToken(SECRET, { userId: "u1" })],
      ["401 Invalid token: userId", await signToken(SECRET, { userId: "", eventId: "e1" })],
      ["403", await signToken(SECRET, { userId: "u1", eventId: "e2" })],
    ];
    for (const [reason, token] of tokens) {
      await expect(WsClient.connect(router.wsAddress, token), token).rejects.toThrow(reason);
    }
    await expect(WsClient.on(new WebSocket(url(router))).opened()).rejects.toThrow("401 Missing token");
    await expect(WsClient.on(new WebSocket(`ws://${router.wsAddress}/other`)).opened()).rejects.toThrow("404");
    expect((await fetch(`http://${router.wsAddress}/ws`)).status).toBe(426);
  });

  it("seeds only unknown users from the token", async () => {
    const router = await startRouter();
    server.setUserChannels("e1", "known", []);
    const known = await connect(router, "known", { channelIds: ["a"] });
    expect(known.frames[0]?.data.channels, "the store alone decides").toEqual([]);
    const stranger = await connect(router, "stranger", { channelIds: ["b", "a"] });
    expect(stranger.frames[0]?.data.channels).toEqual(["b", "a"]);
    expect(server.callsOf("setUserChannels")).toMatchObject([{ userId: "stranger", onlyIfUnknown: true }]);
    const again = await connect(router, "stranger", { channelIds: ["c"] });
    expect(again.frames[0]?.data.channels).toEqual(["b", "a"]);
  });

  it("works while the service is away; the channels arrive when it is back", async () => {
    const router = await startRouter();
    server.setUserChannels("e1", "u1", ["a"]);
    server.stop();
    const client = await connect(router, "u1");
    const stranger = await connect(router, "stranger", { channelIds: ["b"] });
    expect(client.frames[0]?.data.channels).toEqual([]);
    await server.start();
    expect((await client.next("permission-update")).data.channels).toEqual(["a"]);
    expect((await stranger.next("permission-update")).data.channels).toEqual(["b"]);
  });
});

describe("a disconnected user", () => {
  it("pitfall 23: is disconnected by a dispatcher on every router, from every socket, in this event only", async () => {
    const [here, there] = [await startRouter(), await startRouter()];
    const dispatcher = await joinA(here, "dora", { role: "DISPATCH" });
    const sockets = await Promise.all([here, here, there, there].map((router) => joinA(router, "u1")));
    const elsewhere = await connect(there, "u1", { eventId: "e2" });
    const bystander = await joinA(there, "u2");
    const reason = `Fire! ${"🚒".repeat(99)}`;
    const answer = await dispatcher.request("force-disconnect", { targetUserId: "u1", reason });
    expect(answer).toMatchObject({ type: "channel-state", data: { success: true, targetUserId: "u1" } });
    expect(server.callsOf("disconnectUser")).toMatchObject([{ eventId: "e1", userId: "u1", reason }]);
    for (const socket of sockets) {
      await waitFor(() => socket.closed);
      expect(socket.frames.at(-1)).toEqual({ type: "force-disconnect", data: { reason } });
      expect(socket.closed).toEqual({ code: 4003, reason: `Fire! ${"🚒".repeat(29)}` });
    }
    await bystander.request("ping");
    for (const other of [dispatcher, elsewhere, bystander]) expect(other.closed).toBeUndefined();
    expect(await joinA(here, "u1"), "may come back").toBeDefined();
  });

  it("can be disconnected only by dispatchers, for a reason that the store accepts", async () => {
    const router = await startRouter();
    const [user, admin] = [await joinA(router, "u1"), await joinA(router, "boss", { globalRole: "ADMIN" })];
    const ask = async (client: WsClient, data?: object) => (await client.request("force-disconnect", data)).error;
    expect(await ask(user, { targetUserId: "boss" })).toContain("only dispatchers");
    expect(await ask(admin)).toBe("targetUserId is required");
    expect(await ask(admin, { targetUserId: "u1", reason: 7 })).toBe("reason must be a text");
    server.failing.set("disconnectUser", status.UNAVAILABLE);
    expect(await ask(admin, { targetUserId: "u1" }), "pitfall 23: no success without one").toBe("Service unavailable");
    expect(user.closed).toBeUndefined();
    server.failing.clear();
    expect(await ask(admin, { targetUserId: 42 })).toBeUndefined();
    expect(server.callsOf("disconnectUser").at(-1)).toMatchObject({ userId: "42", reason: "" });
  });

  it("pitfall 23: is disconnected after a snapshot, if the socket is older than the disconnection", async () => {
    const router = await startRouter();
    const [client, other] = [await connect(router, "u1"), await connect(router, "u2")];
    const before = server.event("e1");
    const disconnectedAtMs = Date.now() + 1;
    const users = new Map([["u1", { channelIds: [], disconnectedAtMs }]]);
    server.events.set("e1", { ...before, epoch: "epoch-2", users });
    server.openWatches[0]?.fail(status.UNAVAILABLE);
    await waitFor(() => client.closed);
    expect(client.closed?.code).toBe(4003);
    await other.request("ping");
    const young = await connect(router, "u1");
    server.events.set("e1", { ...before, epoch: "epoch-3", users });
    server.openWatches[0]?.fail(status.UNAVAILABLE);
    await waitFor(() => server.watches.length > 2);
    server.setUserChannels("e1", "u1", ["a"]);
    await young.next("permission-update");
    expect(young.closed).toBeUndefined();
  });

  it("is refused while banned by any program, and admitted when the ban has ended", async () => {
    const router = await startRouter();
    server.setUserChannels("e1", "u1", ["a"]);
    const expiresAt = timestampFromMs(Date.UTC(2030, 0, 31));
    server.bans.set("u1", { userId: "u1", reason: "noise", expiresAt });
    const refused = connect(router, "u1", { channelIds: ["a"] });
    await expect(refused).rejects.toThrow("403 You are banned until 2030-01-31T00:00:00.000Z: noise");
    server.bans.set("u1", { userId: "u1" });
    await expect(connect(router, "u1")).rejects.toThrow(/^403 You are banned$/);
    expect(server.callsOf("setUserChannels"), "a banned user is not seeded").toEqual([]);
    server.bans.clear();
    expect(await connect(router, "u1")).toBeDefined();
  });

  it("receives the ban if one is found at a press", async () => {
    const router = await startRouter();
    const client = await joinA(router, "u1");
    server.bans.set("u1", { userId: "u1", reason: "noise" });
    expect(await client.request("ptt-start", { channelId: "a" })).toMatchObject({
      data: { denied: true },
      error: "You are banned: noise",
    });
  });

  it("pitfall 41: is closed after a snapshot, however far ahead the router's clock is", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 120_000 });
    try {
      const storeNow = () => Date.now() - 120_000;
      // The first disconnection is older than all sockets.
      server.event("e1").users.set("u1", { channelIds: [], disconnectedAtMs: storeNow() - 60_000 });
      const router = await startRouter();
      const witness = await connect(router, "u2");
      server.setUserChannels("e1", "u2", ["a"]);
      await witness.next("permission-update");
      const client = await connect(router, "u1");
      server.reset("e1", "epoch-2", { u1: [], u2: [] });
      server.event("e1").users.set("u1", { channelIds: [], disconnectedAtMs: storeNow() - 60_000 });
      server.failChannelWatches(status.UNAVAILABLE);
      server.stop();
      await server.start();
      await witness.next("permission-update", 2);
      expect(client.closed, "the old disconnection").toBeUndefined();
      server.reset("e1", "epoch-3", { u1: [], u2: ["a"] });
      server.event("e1").users.set("u1", { channelIds: [], disconnectedAtMs: storeNow() });
      server.stop();
      await server.start();
      await waitFor(() => client.closed);
      expect(client.closed?.code).toBe(4003);
      expect(witness.closed).toBeUndefined();
    } finally {
      vi.useRealTimers();
    }
  });

  it("is disconnected later if the store could not be asked at first", async () => {
    const router = await startRouter();
    server.setUserChannels("e1", "u2", ["a"]);
    const known = await connect(router, "u2");
    server.failing.set("getUserPermissions", status.UNAVAILABLE);
    server.bans.set("u1", { userId: "u1", reason: "noise" });
    server.bans.set("u2", { userId: "u2", reason: "later" });
    const client = await connect(router, "u1");
    server.failing.clear();
    const asked = server.callsOf("getUserPermissions").length;
    server.stop();
    await server.start();
    await waitFor(() => client.closed);
    expect(client.of("force-disconnect")).toMatchObject([{ data: { reason: "You are banned: noise" } }]);
    expect(client.closed).toEqual({ code: 4003, reason: "You are banned: noise" });
    expect(known.closed).toBeUndefined();
    expect(server.callsOf("getUserPermissions").length, "only about those that were not").toBeLessThanOrEqual(
      asked + 2,
    );
  });

  it("is not admitted while the store is being asked", async () => {
    const router = await startRouter();
    const witness = await connect(router, "u2");
    let answer: (value?: unknown) => void = () => undefined;
    server.gates.set(
      "getUserPermissions",
      new Promise((resolve) => {
        answer = resolve;
      }),
    );
    const asked = server.callsOf("getUserPermissions").length;
    const refused = expect(connect(router, "u1")).rejects.toThrow("403 You were disconnected");
    await waitFor(() => server.callsOf("getUserPermissions").length > asked);
    server.append("e1", { case: "userDisconnected", value: { userId: "u1", reason: "" } });
    server.setUserChannels("e1", "u2", ["a"]);
    await witness.next("permission-update");
    answer();
    await refused;
  });

  it("pitfall 16: can have several sockets from the same millisecond", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
    try {
      const router = await startRouter();
      server.setUserChannels("e1", "u1", ["a", "b"]);
      const sockets = await Promise.all([1, 2, 3].map(() => connect(router, "u1")));
      for (const socket of sockets) await socket.request("join-channel", { channelId: "a" });
      await sockets[0]?.request("ptt-start", { channelId: "a" });
      expect(await sockets[1]?.request("ptt-start", { channelId: "a" })).toMatchObject({ data: { denied: true } });
      const sessions = server.callsOf("startPtt").map(({ sessionId }) => sessionId);
      expect(new Set(sessions).size).toBe(2);
      await sockets[1]?.close();
      expect(held("a"), "what one holds is not another's to lose").toBe("u1");
      server.setUserChannels("e1", "u1", ["a"]);
      await sockets[0]?.next("permission-update");
      await sockets[2]?.next("permission-update");
      server.append("e1", { case: "userDisconnected", value: { userId: "u1", reason: "out" } });
      for (const socket of sockets) await waitFor(() => socket.closed);
      expect(sockets.map(({ closed }) => closed?.code)).toEqual([4003, 1005, 4003]);
    } finally {
      vi.useRealTimers();
    }
  });
});
