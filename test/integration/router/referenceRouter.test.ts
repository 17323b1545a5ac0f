import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { WebSocket } from "ws";
import { FloorPriority } from "../../../gen/squelch/v1/model_pb.js";
import { createLogger } from "../../../src/lib/logger.js";
import { type ReferenceRouter, type ReferenceRouterOptions, startReferenceRouter } from "../../../src/router/index.js";
import { signToken, WsClient } from "../../support/clients/wsClient.js";
import { FakePermissionServer } from "../../support/fakes/fakePermissionServer.js";
import { waitFor } from "../../support/waitFor.js";

const SECRET = "the clients' secret";

let server: FakePermissionServer;
let routers: ReferenceRouter[];
let clients: WsClient[];

beforeEach(async () => {
  server = await new FakePermissionServer().start();
  routers = [];
  clients = [];
});

afterEach(async () => {
  for (const { socket } of clients) socket.terminate();
  await Promise.all(routers.map((router) => router.close()));
  server.stop();
});

async function startRouter(options: Partial<ReferenceRouterOptions> = {}): Promise<ReferenceRouter> {
  const router = await startReferenceRouter({
    address: server.address,
    listen: "127.0.0.1:0",
    jwtSecret: SECRET,
    checkpointIntervalMs: 1_000,
    retryDelayMs: () => 20,
    logger: createLogger("test", "silent"),
    ...options,
  });
  routers.push(router);
  return router;
}

async function connect(router: ReferenceRouter, userId: string, claims: Record<string, unknown> = {}) {
  const client = await WsClient.connect(
    router.wsAddress,
    await signToken(SECRET, { userId, eventId: "e1", ...claims }),
  );
  clients.push(client);
  return client;
}

/** A user who has the channel `a`, connected and joined. */
async function joinA(router: ReferenceRouter, userId: string, claims: Record<string, unknown> = {}) {
  if (!server.event("e1").users.has(userId)) server.setUserChannels("e1", userId, ["a"]);
  const client = await connect(router, userId, claims);
  expect(await client.request("join-channel", { channelId: "a" })).toMatchObject({ data: { success: true } });
  return client;
}

const held = (channelId: string) => server.channels.get(channelId)?.lease?.userId;

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

  it("is refused without a token that is valid", async () => {
    const router = await startRouter({ eventIds: ["e1"] });
    const unsigned = `${btoa('{"alg":"none"}')}.${btoa('{"userId":"u1","eventId":"e1"}')}.`.replaceAll("=", "");
    const tokens: [string, string][] = [
      ["401", unsigned],
      ["401", "nonsense"],
      ["401", await signToken("another secret", { userId: "u1", eventId: "e1" })],
      ["401", await signToken(SECRET, { userId: "u1", eventId: "e1" }, "-1s")],
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

  it("seeds a user of whom the store has never heard from the token, and no other", async () => {
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

  it("works while the service is away; the channels follow when it is back", async () => {
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

describe("permissions", () => {
  it("reach the sockets of the user, and put the revoked off the channel (pitfall 1)", async () => {
    const router = await startRouter();
    const [client, listener] = [await joinA(router, "u1"), await joinA(router, "u2")];
    server.setUserChannels("e1", "u1", ["b"]);
    const { eventId, channelIds, channels, added, removed, action, revision } = (await client.next("permission-update"))
      .data;
    expect({ eventId, channelIds, channels, added, removed, action, revision }).toEqual({
      ...{ eventId: "e1", channelIds: ["b"], channels: ["b"], added: ["b"], removed: ["a"] },
      ...{ action: "set_user_channels", revision: 3 },
    });
    expect((await listener.next("channel-state", 2)).data).toMatchObject({ action: "user-left", userId: "u1" });
    expect(await listener.request("ptt-start", { channelId: "a" })).toMatchObject({ data: { success: true } });
    expect(client.of("speaker-changed")).toEqual([]);
    expect(await client.request("join-channel", { channelId: "a" })).toMatchObject({
      type: "error",
      error: expect.stringContaining("not authorized"),
    });
    expect(listener.of("permission-update")).toEqual([]);
  });

  it("pitfalls 3, 4: a channel is joined with permission, and in its own event, only", async () => {
    const router = await startRouter();
    server.channels.set("x", { eventId: "e2" });
    server.event("e1").users.set("u1", { channelIds: ["a", "x"] });
    const client = await connect(router, "u1");
    expect((await client.request("join-channel", { channelId: "z" })).error).toContain("not authorized");
    expect((await client.request("join-channel", { channelId: "x" })).error).toContain("another event");
    expect((await client.request("ptt-start", { channelId: "x" })).error).toContain("Join the channel");
    expect(server.callsOf("startPtt")).toEqual([]);
    expect(server.channels.get("a")).toBeUndefined();
    await client.request("join-channel", { channelId: "a" });
    expect(server.channels.get("a")?.eventId, "pitfall 17: the first join fills the index").toBe("e1");
  });

  it("are asked for again at every press", async () => {
    const router = await startRouter();
    const client = await joinA(router, "u1");
    await client.request("ptt-start", { channelId: "a" });
    server.setUserChannels("e1", "u1", []);
    await client.next("permission-update");
    expect(await client.request("ptt-start", { channelId: "a" })).toMatchObject({ data: { denied: true } });
    expect(await client.next("ptt-denied")).toMatchObject({ data: { channelId: "a", cause: "receiveOnly" } });
    expect(held("a"), "the current transmission goes on").toBe("u1");
    expect(await client.request("ptt-stop", { channelId: "a" })).toMatchObject({ data: { success: true } });
    expect((await client.request("ptt-start", { channelId: "a" })).error).toContain("Join the channel");
  });

  it("take the floor away at once where that is wanted", async () => {
    const router = await startRouter({ cut: "atOnce" });
    const [client, listener] = [await joinA(router, "u1"), await joinA(router, "u2")];
    await client.request("ptt-start", { channelId: "a" });
    server.setUserChannels("e1", "u1", []);
    expect(await client.next("ptt-interrupted")).toMatchObject({ data: { channelId: "a" } });
    expect((await listener.next("speaker-changed", 2)).data).toMatchObject({ isBusy: false });
    expect(held("a")).toBeUndefined();
  });

  it("that go while the store is asked for the floor leave nobody speaking", async () => {
    const router = await startRouter();
    const client = await joinA(router, "u1");
    let answer: (value?: unknown) => void = () => undefined;
    server.gates.set(
      "startPtt",
      new Promise((resolve) => {
        answer = resolve;
      }),
    );
    const reply = client.request("ptt-start", { channelId: "a" });
    await waitFor(() => held("a"));
    server.setUserChannels("e1", "u1", []);
    await client.next("permission-update");
    answer();
    expect(await reply).toMatchObject({ data: { denied: true } });
    expect(held("a")).toBeUndefined();
  });
});

describe("the floor", () => {
  it("pitfall 15: a press is heard once by everybody who has joined, through one stream", async () => {
    const router = await startRouter();
    const users = await Promise.all(Array.from({ length: 10 }, (_, index) => joinA(router, `u${index}`)));
    const [speaker, ...listeners] = users as [WsClient, ...WsClient[]];
    const granted = await speaker.request("ptt-start", { channelId: "a" });
    const state = { channelId: "a", currentSpeaker: "u0", speakerName: "u0", isBusy: true };
    expect(granted).toMatchObject({ type: "channel-state", data: { success: true, state } });
    expect(granted.data.state.lockTimestamp).toBe(server.channels.get("a")?.lease?.startedAtMs);
    await speaker.request("ptt-stop", { channelId: "a" });
    for (const user of listeners) {
      await user.next("speaker-changed", 2);
      await user.request("ping");
      expect(user.of("speaker-changed").map(({ data }) => data)).toMatchObject([state, { isBusy: false }]);
    }
    expect(server.watches).toHaveLength(1);
    expect(server.channelWatches.size).toBe(1);
    await listeners[0]?.request("leave-channel", { channelId: "a" });
    await speaker.request("ptt-start", { channelId: "a" });
    await listeners[1]?.next("speaker-changed", 3);
    expect(listeners[0]?.of("speaker-changed")).toHaveLength(2);
    await listeners[0]?.close();
    await speaker.request("ptt-stop", { channelId: "a" });
    await listeners[1]?.next("speaker-changed", 4);
    expect(server.channelWatches.size, "still followed for the others").toBe(1);
  });

  it("is denied with its holder, in the reply, its error text and a frame of its own", async () => {
    const router = await startRouter();
    const [ann, ben] = [await joinA(router, "ann", { userName: "Ann" }), await joinA(router, "ben")];
    await ann.request("ptt-start", { channelId: "a" });
    expect(await ben.request("ptt-start", { channelId: "a" })).toEqual({
      type: "channel-state",
      id: expect.any(String),
      data: { success: false, denied: true, currentSpeaker: "ann", currentSpeakerName: "Ann" },
      error: "Ann is speaking",
    });
    expect((await ben.next("ptt-denied")).data).toMatchObject({
      ...{ channelId: "a", cause: "anotherHasPermission", currentSpeaker: "ann", currentSpeakerName: "Ann" },
    });
    expect(
      (await joinA(router, "cid")).of("channel-state")[0]?.data.state,
      "late joiners see the speaker",
    ).toMatchObject({
      currentSpeaker: "ann",
    });
    expect((await ben.request("ptt-stop", { channelId: "a" })).error).toContain("do not hold");
    expect(held("a")).toBe("ann");
  });

  it("pitfall 14: a failure of the service is not somebody speaking", async () => {
    const router = await startRouter();
    const client = await joinA(router, "u1");
    for (const code of [status.UNAVAILABLE, status.INTERNAL, status.DEADLINE_EXCEEDED]) {
      server.failing.set("startPtt", code);
      expect(await client.request("ptt-start", { channelId: "a" })).toMatchObject({
        type: "error",
        error: "Service unavailable",
      });
    }
    expect(client.of("ptt-denied")).toEqual([]);
    await waitFor(() => server.callsOf("stopPtt").length === 3, { message: "unknown outcomes to be given back" });
    server.failing.clear();
    server.failing.set("getChannelState", status.UNAVAILABLE);
    expect((await client.request("join-channel", { channelId: "a" })).error).toBe("Service unavailable");
  });

  it("pitfall 12: a release that failed announces nothing; the end of the lease does", async () => {
    server.leaseMs = 600;
    const router = await startRouter();
    const [speaker, listener] = [await joinA(router, "u1"), await joinA(router, "u2")];
    await speaker.request("ptt-start", { channelId: "a" });
    server.failing.set("stopPtt", status.UNAVAILABLE);
    expect((await speaker.request("ptt-stop", { channelId: "a" })).error).toBe("Service unavailable");
    await listener.request("ping");
    expect(listener.of("speaker-changed")).toHaveLength(1);
    expect((await listener.next("speaker-changed", 2)).data.isBusy).toBe(false);
    expect(speaker.of("ptt-interrupted"), "had let go").toEqual([]);
  });

  it("pitfall 12: a denied press and a lost lease announce no free channel", async () => {
    const router = await startRouter();
    const [ann, ben] = [await joinA(router, "ann"), await joinA(router, "ben")];
    await ann.request("ptt-start", { channelId: "a" });
    await ben.request("ptt-start", { channelId: "a" });
    await ben.request("ptt-stop", { channelId: "a" });
    server.setLease("a", { leaseId: 99n, userId: "zoe", userName: "Zoe", sessionId: "s", startedAtMs: 5 });
    expect((await ann.request("ptt-stop", { channelId: "a" })).error).toContain("not held");
    expect((await ben.next("speaker-changed", 2)).data).toMatchObject({ currentSpeaker: "zoe", lockTimestamp: 5 });
    expect(ben.of("speaker-changed")).toHaveLength(2);
  });

  it("pitfall 12: a release that failed is tried again", async () => {
    const router = await startRouter();
    const [speaker, listener] = [await joinA(router, "u1"), await joinA(router, "u2")];
    await speaker.request("ptt-start", { channelId: "a" });
    server.failing.set("stopPtt", status.UNAVAILABLE);
    expect((await speaker.request("ptt-stop", { channelId: "a" })).error).toBe("Service unavailable");
    server.failing.clear();
    expect((await listener.next("speaker-changed", 2)).data.isBusy).toBe(false);
    expect(held("a")).toBeUndefined();
    expect(await speaker.request("ptt-start", { channelId: "a" })).toMatchObject({ data: { success: true } });
  });

  it("pitfall 10: is renewed while the client speaks, through failures, and no longer", async () => {
    server.leaseMs = 12_000;
    server.talkMs = 60_000;
    const router = await startRouter();
    const speaker = await joinA(router, "u1");
    await speaker.request("ptt-start", { channelId: "a" });
    expect(server.callsOf("startPtt")).toMatchObject([{ leaseTime: { seconds: 6n } }]);
    server.failing.set("renewPtt", status.UNAVAILABLE);
    await waitFor(() => server.callsOf("renewPtt").length === 1);
    server.failing.set("renewPtt", status.RESOURCE_EXHAUSTED);
    await waitFor(() => server.callsOf("renewPtt").length === 2);
    server.failing.clear();
    await waitFor(() => server.callsOf("renewPtt").length === 3);
    await speaker.request("ptt-stop", { channelId: "a" });
    await speaker.request("ptt-start", { channelId: "a" });
    await waitFor(() => server.callsOf("renewPtt").length === 4);
    const [first, second, third, fourth] = server.callsOf("renewPtt").map(({ leaseId }) => leaseId);
    expect([second, third]).toEqual([first, first]);
    expect(fourth, "nothing renews what was given back").not.toBe(first);
    expect(speaker.of("ptt-interrupted")).toEqual([]);
  });

  it("pitfall 10: is given up when a renewal is refused", async () => {
    const router = await startRouter();
    const [speaker, listener] = [await joinA(router, "u1"), await joinA(router, "u2")];
    await speaker.request("ptt-start", { channelId: "a" });
    server.setLease("a", { leaseId: 99n, userId: "zoe", userName: "Zoe", sessionId: "s", startedAtMs: 5 });
    expect((await speaker.next("ptt-interrupted")).data).toMatchObject({ channelId: "a" });
    expect((await listener.next("speaker-changed", 2)).data).toMatchObject({ currentSpeaker: "zoe" });
    expect((await speaker.request("ptt-stop", { channelId: "a" })).error).toContain("do not hold");
    expect(held("a")).toBe("zoe");
  });

  it("with priority is for dispatchers alone", async () => {
    const router = await startRouter();
    const [user, dispatcher] = [await joinA(router, "u1"), await joinA(router, "d1", { eventRole: "DISPATCH" })];
    expect((await user.request("priority-ptt-start", { channelId: "a" })).error).toContain("dispatchers");
    expect(server.callsOf("startPtt")).toEqual([]);
    const request = { channelId: "a" };
    expect(await dispatcher.request("priority-ptt-start", request)).toMatchObject({ data: { success: true } });
    expect(server.callsOf("startPtt")).toMatchObject([{ userId: "d1", priority: FloorPriority.DISPATCH }]);
    expect(await dispatcher.request("priority-ptt-stop", request)).toMatchObject({ data: { success: true } });
    expect(held("a")).toBeUndefined();
  });

  it("pitfall 10: a lease that ends is told to its speaker and to the others", async () => {
    server.leaseMs = 100;
    const router = await startRouter();
    const [speaker, listener] = [await joinA(router, "u1"), await joinA(router, "u2")];
    await speaker.request("ptt-start", { channelId: "a" });
    expect((await speaker.next("ptt-interrupted")).data).toMatchObject({ channelId: "a" });
    expect((await listener.next("speaker-changed", 2)).data.isBusy).toBe(false);
  });

  it("pitfalls 13, 16: a second device is a session of its own, and frees its own floor only", async () => {
    const router = await startRouter();
    const [phone, tablet] = await Promise.all([joinA(router, "u1"), joinA(router, "u1")]);
    await phone.request("ptt-start", { channelId: "a" });
    expect(await tablet.request("ptt-start", { channelId: "a" })).toMatchObject({ data: { denied: true } });
    await tablet.close();
    const listener = await joinA(router, "u2");
    expect(held("a")).toBe("u1");
    await phone.close();
    expect((await listener.next("speaker-changed")).data.isBusy).toBe(false);
    expect(held("a")).toBeUndefined();
    expect(listener.of("channel-state").at(-1)?.data).toMatchObject({ action: "user-disconnected", userId: "u1" });
    const sessions = server.callsOf("startPtt").map(({ sessionId }) => sessionId);
    expect(new Set(sessions).size).toBe(2);
  });

  it("is given back by a client that vanishes while the store is asked", async () => {
    const router = await startRouter();
    const client = await joinA(router, "u1");
    let answer: (value?: unknown) => void = () => undefined;
    server.gates.set(
      "startPtt",
      new Promise((resolve) => {
        answer = resolve;
      }),
    );
    client.socket.send('{"type":"ptt-start","data":{"channelId":"a"}}');
    await waitFor(() => held("a"));
    await client.close();
    answer();
    await waitFor(() => held("a") === undefined);
  });
});

describe("who speaks", () => {
  const zoe = { leaseId: 99n, userId: "zoe", userName: "Zoe", sessionId: "s", startedAtMs: 5 };
  const speakers = (client: WsClient) => client.of("speaker-changed").map(({ data }) => data.currentSpeaker);

  it("is told to the clients of every router, once each and in order, whoever made it so", async () => {
    const [here, there] = [await startRouter(), await startRouter()];
    const [speaker, beside, far] = [await joinA(here, "u1"), await joinA(here, "u2"), await joinA(there, "u3")];
    for (let round = 0; round < 3; round += 1) {
      const granted = await speaker.request("ptt-start", { channelId: "a" });
      await far.next("speaker-changed", 4 * round + 1);
      expect(far.of("speaker-changed").at(-1)?.data).toEqual(granted.data.state);
      await speaker.request("ptt-stop", { channelId: "a" });
      // What neither of the routers has done.
      server.setLease("a", zoe);
      server.setLease("a", undefined);
      for (const client of [speaker, beside, far]) await client.next("speaker-changed", 4 * round + 4);
    }
    const heard = Array.from({ length: 3 }, () => ["u1", null, "zoe", null]).flat();
    for (const client of [speaker, beside, far]) expect(speakers(client)).toEqual(heard);
    await waitFor(() => server.channelWatches.size === 2);
    await far.close();
    await waitFor(() => server.channelWatches.size === 1, { message: "an event without clients to be left" });
  });

  it("is compared after an interruption: what has changed is told, and nothing twice", async () => {
    const router = await startRouter();
    server.setUserChannels("e1", "u1", ["a", "b"]);
    const client = await joinA(router, "u1");
    await client.request("join-channel", { channelId: "b" });
    server.setLease("a", zoe);
    server.setLease("b", { ...zoe, leaseId: 98n });
    await client.next("speaker-changed", 2);
    server.failChannelWatches(status.UNAVAILABLE);
    server.setLease("b", { ...zoe, leaseId: 100n, userId: "yan", userName: "Yan", startedAtMs: 6 });
    await client.next("speaker-changed", 3);
    server.setLease("a", undefined);
    await client.next("speaker-changed", 4);
    const told = client.of("speaker-changed").map(({ data }) => [data.channelId, data.currentSpeaker]);
    expect(told).toEqual([
      ["a", "zoe"],
      ["b", "zoe"],
      ["b", "yan"],
      ["a", null],
    ]);
  });

  it("is what joins say, also while nothing tells of changes", async () => {
    const router = await startRouter();
    server.setUserChannels("e1", "u1", ["a"]);
    server.setLease("a", zoe);
    const joinedState = async () => {
      const client = await joinA(router, "u1");
      const [joined] = client.of("channel-state");
      await client.request("leave-channel", { channelId: "a" });
      return joined?.data.state;
    };
    expect(await joinedState()).toMatchObject({ currentSpeaker: "zoe", speakerName: "Zoe", lockTimestamp: 5 });
    server.failing.set("watchChannels", status.UNAVAILABLE);
    server.failChannelWatches(status.UNAVAILABLE);
    server.setLease("a", undefined);
    expect(await joinedState()).toMatchObject({ currentSpeaker: null, isBusy: false });
  });
});

describe("an emergency", () => {
  it("pitfalls 19, 20: reaches everybody on every router, cuts the speakers and holds newcomers", async () => {
    const [here, there] = [await startRouter(), await startRouter()];
    server.setUserChannels("e2", "out", ["x"]);
    const dispatcher = await joinA(here, "dora", { role: "DISPATCH", userName: "Dora" });
    const [victim, outsider] = [await joinA(there, "u1"), await connect(there, "out", { eventId: "e2" })];
    await victim.request("ptt-start", { channelId: "a" });
    const started = await dispatcher.request("emergency-broadcast-start", { holdDuration: 2_000 });
    expect(started).toMatchObject({ type: "channel-state", data: { success: true } });
    expect(server.callsOf("pauseAllSpeakers")).toMatchObject([
      { eventId: "e1", broadcaster: { userId: "dora", userName: "Dora" } },
    ]);
    // How long the button was held is not how long the broadcast may last.
    expect(server.callsOf("pauseAllSpeakers")).not.toMatchObject([{ duration: expect.anything() }]);
    expect((await victim.next("ptt-interrupted")).data).toMatchObject({ channelId: "a", interruptedBy: "Dora" });
    const announced = { dispatchUserId: "dora", dispatchUserName: "Dora", channelId: "a" };
    for (const client of [dispatcher, victim]) {
      expect((await client.next("emergency-broadcast-start")).data).toEqual(announced);
    }
    expect((await victim.next("speaker-changed", 2)).data).toMatchObject({ currentSpeaker: "dora", isBusy: true });
    expect(await victim.request("ptt-start", { channelId: "a" })).toMatchObject({
      data: { denied: true },
      error: expect.stringContaining("Dora"),
    });
    expect((await victim.request("ptt-stop", { channelId: "a" })).error).toContain("do not hold");
    const late = await joinA(there, "late");
    expect(late.frames.slice(0, 2)).toMatchObject([
      { type: "channel-list" },
      { type: "emergency-broadcast-start", data: { channelId: null } },
    ]);
    expect((await late.next("emergency-broadcast-start", 2)).data).toEqual(announced);
    const elsewhere = await connect(there, "dora", { role: "DISPATCH", userName: "Dora" });
    expect(await elsewhere.request("emergency-broadcast-stop")).toMatchObject({ data: { success: true } });
    for (const client of [dispatcher, victim, late]) {
      expect((await client.next("emergency-broadcast-stop")).data).toEqual(announced);
    }
    expect((await victim.next("speaker-changed", 3)).data.isBusy).toBe(false);
    expect(await victim.request("ptt-start", { channelId: "a" })).toMatchObject({ data: { success: true } });
    expect(outsider.frames.map(({ type }) => type)).toEqual(["channel-list"]);
  });

  it("is for dispatchers alone; a second one is told who has it", async () => {
    const router = await startRouter();
    const [user, dispatcher] = [await joinA(router, "u1"), await joinA(router, "d1", { role: "ADMIN" })];
    expect((await user.request("emergency-broadcast-start", { holdDuration: 5_000 })).error).toContain("dispatchers");
    expect((await user.request("emergency-broadcast-stop")).error).toContain("dispatchers");
    expect((await dispatcher.request("emergency-broadcast-stop")).error).toContain("No emergency");
    server.pause("e1", { reason: "drill", broadcaster: { userId: "d2" } }, 60_000);
    expect(await dispatcher.request("emergency-broadcast-start")).toMatchObject({
      ...{ type: "error", error: expect.stringMatching(/^d2 has paused the event until 20/) },
      data: { dispatchUserId: "d2", dispatchUserName: "d2", pauseId: "pause-1", reason: "drill" },
    });
    expect(server.event("e1").pause?.pauseId).toBe("pause-1");
    server.failing.set("pauseAllSpeakers", status.UNAVAILABLE);
    expect((await dispatcher.request("emergency-broadcast-start")).error).toBe("Service unavailable");
  });

  it("pitfall 21: a dispatcher who dropped starts again on another device, and on another router", async () => {
    const [here, there] = [await startRouter(), await startRouter()];
    const listener = await joinA(there, "u1");
    const dora = { role: "DISPATCH", userName: "Dora" };
    const phone = await joinA(here, "dora", dora);
    const first = await phone.request("emergency-broadcast-start");
    phone.socket.terminate();
    await waitFor(() => phone.closed);
    const desk = await joinA(there, "dora", dora);
    const again = await desk.request("emergency-broadcast-start");
    expect(again.data).toMatchObject({ success: true });
    expect(again.data.pauseId).not.toBe(first.data.pauseId);
    const { data } = await listener.next("emergency-broadcast-start", 2);
    expect(data).toEqual({ dispatchUserId: "dora", dispatchUserName: "Dora", channelId: "a" });
    expect(listener.of("emergency-broadcast-stop")).toEqual([]);
    expect(await desk.request("emergency-broadcast-stop")).toMatchObject({ data: { pauseId: again.data.pauseId } });
    await listener.next("emergency-broadcast-stop");
  });

  it("is taken over from another dispatcher, who is told, by naming the pause", async () => {
    const router = await startRouter();
    const dora = await joinA(router, "dora", { role: "DISPATCH", userName: "Dora" });
    const carl = await joinA(router, "carl", { role: "DISPATCH", userName: "Carl" });
    await dora.request("emergency-broadcast-start");
    expect(await dora.request("ptt-start", { channelId: "a" })).toMatchObject({ data: { success: true } });
    const refused = await carl.request("emergency-broadcast-start");
    const { pauseId, dispatchUserName } = refused.data;
    expect({ type: refused.type, dispatchUserName }).toEqual({ type: "error", dispatchUserName: "Dora" });
    expect((await carl.request("emergency-broadcast-start", { replacePauseId: {} })).error).toContain("replacePauseId");
    const taken = await carl.request("emergency-broadcast-start", { replacePauseId: pauseId });
    expect(taken.data).toMatchObject({ success: true });
    expect((await dora.next("ptt-interrupted")).data).toMatchObject({ channelId: "a", interruptedBy: "Carl" });
    expect((await dora.next("emergency-broadcast-start", 2)).data.dispatchUserId).toBe("carl");
    expect((await carl.next("speaker-changed", 2)).data.currentSpeaker).toBe("carl");
    const late = await carl.request("emergency-broadcast-start", { replacePauseId: pauseId });
    expect(late.data, "that pause is over").toMatchObject({ dispatchUserId: "carl", pauseId: taken.data.pauseId });
  });

  it("lets the dispatcher who is speaking speak on, until it ends", async () => {
    const router = await startRouter();
    const dora = await joinA(router, "dora", { role: "DISPATCH", userName: "Dora" });
    const listener = await joinA(router, "u1");
    await dora.request("ptt-start", { channelId: "a" });
    await dora.request("emergency-broadcast-start");
    await listener.next("speaker-changed", 2);
    const renewed = () => server.callsOf("renewPtt").at(-1)?.leaseId === server.channels.get("a")?.lease?.leaseId;
    await waitFor(renewed, { message: "the lease of the pause to be renewed" });
    expect(dora.of("ptt-interrupted")).toEqual([]);
    await dora.request("emergency-broadcast-stop");
    expect((await dora.next("ptt-interrupted")).data).toMatchObject({ channelId: "a" });
    expect((await listener.next("speaker-changed", 3)).data.isBusy).toBe(false);
  });

  it("that overtakes the answer to a press leaves no microphone live", async () => {
    const router = await startRouter();
    const [client, listener] = [await joinA(router, "u1"), await joinA(router, "u2")];
    let answer: (value?: unknown) => void = () => undefined;
    server.gates.set(
      "startPtt",
      new Promise((resolve) => {
        answer = resolve;
      }),
    );
    const reply = client.request("ptt-start", { channelId: "a" });
    await waitFor(() => held("a"));
    server.pause("e1", { reason: "cut" });
    server.setUserChannels("e1", "u2", ["a", "b"]);
    await listener.next("permission-update");
    answer();
    expect(await reply).toMatchObject({ data: { denied: true }, error: "The floor was taken away" });
    await listener.next("speaker-changed", 2);
    expect(listener.of("speaker-changed").map(({ data }) => data.currentSpeaker)).toEqual(["u1", null]);
  });

  it("that was missed is found by comparing with the store after a snapshot", async () => {
    const router = await startRouter();
    const client = await joinA(router, "u1");
    await client.request("ptt-start", { channelId: "a" });
    server.setLease("a", undefined);
    server.event("e1").epoch = "epoch-2";
    server.openWatches[0]?.fail(status.UNAVAILABLE);
    expect((await client.next("ptt-interrupted")).data).toMatchObject({ channelId: "a" });
    expect((await client.next("speaker-changed", 2)).data.isBusy).toBe(false);
  });
});

describe("a socket", () => {
  it("survives frames that make no sense, and says what is wrong with them", async () => {
    const router = await startRouter();
    const client = await connect(router, "u1");
    for (const frame of ["{", "[]", '{"type":"toString"}', Buffer.from([0xff, 0xfe]), '{"type":"join-channel"}']) {
      client.socket.send(frame);
    }
    await client.next("error", 5);
    expect(await client.request("ping")).toMatchObject({ type: "pong" });
    expect(await client.request("leave-channel", { channelId: "a" })).toMatchObject({ data: { success: true } });
  });

  it("is closed where its user was disconnected", async () => {
    const router = await startRouter();
    const [client, other] = [await connect(router, "u1"), await connect(router, "u1", { eventId: "e2" })];
    await joinA(router, "u2");
    server.append("e1", { case: "userDisconnected", value: { userId: "u1", reason: "🚒".repeat(99) } });
    await waitFor(() => client.closed);
    expect(client.closed).toEqual({ code: 4003, reason: "🚒".repeat(30) });
    expect(client.of("force-disconnect")).toHaveLength(1);
    expect(other.closed).toBeUndefined();
  });

  it("that does not answer is dropped all the same where its user was disconnected", async () => {
    const router = await startRouter();
    const [client, other] = [await joinA(router, "u1"), await joinA(router, "u2")];
    client.socket.pause();
    server.append("e1", { case: "userDisconnected", value: { userId: "u1", reason: "" } });
    const left = () => other.of("channel-state").some(({ data }) => data.action === "user-disconnected");
    await waitFor(left, { message: "the others to be told that the user is gone" });
  });

  it("G8: that does not read is closed, not buffered for", async () => {
    const router = await startRouter();
    const [client, witness] = [await connect(router, "u1"), await connect(router, "u2")];
    client.socket.pause();
    const channelIds = Array.from({ length: 2_000 }, (_, index) => `${"c".repeat(100)}${index}`);
    for (let round = 1; round <= 40; round += 1) {
      server.setUserChannels("e1", "u1", round % 2 === 1 ? channelIds : []);
      server.setUserChannels("e1", "u2", [`a${round}`]);
      await witness.next("permission-update", round);
    }
    client.socket.resume();
    await waitFor(() => client.closed);
    expect(client.closed?.code).toBe(1013);
  });

  it("that asks faster than can be answered is closed", async () => {
    const router = await startRouter();
    const client = await joinA(router, "u1");
    server.gates.set("startPtt", new Promise(() => undefined));
    for (let index = 0; index < 100; index += 1) client.socket.send('{"type":"ptt-start","data":{"channelId":"a"}}');
    await waitFor(() => client.closed);
    expect(client.closed?.code).toBe(1008);
  });
});

describe("a user who is put out", () => {
  it("pitfall 23: is disconnected by a dispatcher on every router, from every socket, in this event alone", async () => {
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

  it("is disconnected by dispatchers alone, for a reason that the store accepts", async () => {
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

  it("pitfall 23: is closed after a snapshot, where the socket is older than the disconnection", async () => {
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

  it("is refused while banned, whoever wrote the ban, and admitted when it has ended", async () => {
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

  it("is told of the ban where one is found at a press", async () => {
    const router = await startRouter();
    const client = await joinA(router, "u1");
    server.bans.set("u1", { userId: "u1", reason: "noise" });
    expect(await client.request("ptt-start", { channelId: "a" })).toMatchObject({
      data: { denied: true },
      error: "You are banned: noise",
    });
  });

  it("and could not be asked about is disconnected as soon as the store says so", async () => {
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

  it("while the store is asked about the user is not let in", async () => {
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

  it("pitfall 16: has sockets of their own, however many come in the same millisecond", async () => {
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

describe("the router", () => {
  it("closes its sockets and gives floors back when it stops, however often it is told", async () => {
    const router = await startRouter();
    const client = await joinA(router, "u1");
    await client.request("ptt-start", { channelId: "a" });
    await Promise.all([router.close(), router.close()]);
    await waitFor(() => client.closed);
    expect(client.closed?.code).toBe(1001);
    expect(held("a")).toBeUndefined();
    await waitFor(() => server.openWatches.length === 0);
    await expect(connect(router, "u1")).rejects.toThrow();
  });

  it("says what is wrong with its options", async () => {
    await expect(startRouter({ listen: "nowhere" })).rejects.toThrow("listen");
    await expect(startRouter({ address: "nowhere" })).rejects.toThrow("address");
    await expect(startRouter({ jwtSecret: "" })).rejects.toThrow("jwtSecret");
    const router = await startRouter();
    await expect(startRouter({ listen: router.wsAddress })).rejects.toThrow("EADDRINUSE");
  });
});
