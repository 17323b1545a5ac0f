import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { FloorPriority } from "../../../../gen/squelch/v1/model_pb.js";
import type { WsClient } from "../../../support/clients/wsClient.js";
import {
  connect,
  held,
  joinA,
  server,
  startRouter,
  useRoutersOnFakeServer,
} from "../../../support/fakes/routersOnFakeServer.js";
import { waitFor } from "../../../support/waitFor.js";

useRoutersOnFakeServer();

describe("the floor", () => {
  it("pitfall 15: every client that has joined receives a press once, through one stream", async () => {
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

  it("is denied with the name of its holder in the reply, in its error text and in a separate frame", async () => {
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
    expect(await ben.request("ptt-stop", { channelId: "a" })).toMatchObject({
      data: { success: true, state: { channelId: "a", currentSpeaker: "ann", isBusy: true } },
    });
    expect(held("a")).toBe("ann");
  });

  it("pitfall 14: a failure of the service is not reported as a speaker", async () => {
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
    expect(await ann.request("ptt-stop", { channelId: "a" }), "pitfall 36").toMatchObject({
      data: { success: true, state: { currentSpeaker: "zoe" } },
    });
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
    expect(fourth, "a released lease is not renewed").not.toBe(first);
    expect(speaker.of("ptt-interrupted")).toEqual([]);
  });

  it("pitfall 10: is released when a renewal is refused", async () => {
    const router = await startRouter();
    const [speaker, listener] = [await joinA(router, "u1"), await joinA(router, "u2")];
    await speaker.request("ptt-start", { channelId: "a" });
    server.setLease("a", { leaseId: 99n, userId: "zoe", userName: "Zoe", sessionId: "s", startedAtMs: 5 });
    expect((await speaker.next("ptt-interrupted")).data).toMatchObject({ channelId: "a" });
    expect((await listener.next("speaker-changed", 2)).data).toMatchObject({ currentSpeaker: "zoe" });
    expect(await speaker.request("ptt-stop", { channelId: "a" })).toMatchObject({
      data: { success: true, state: { currentSpeaker: "zoe" } },
    });
    expect(held("a")).toBe("zoe");
  });

  it("pitfall 36: a stop without anything to stop succeeds with the present state, on any channel", async () => {
    const router = await startRouter();
    const [ann, dora] = [await joinA(router, "ann"), await joinA(router, "dora", { role: "DISPATCH" })];
    const free = { currentSpeaker: null, isBusy: false };
    await ann.request("ptt-start", { channelId: "a" });
    server.pause("e1", { reason: "cut" });
    await ann.next("ptt-interrupted");
    for (const type of ["ptt-stop", "priority-ptt-stop", "leave-channel", "leave-channel", "ptt-stop"]) {
      expect(await ann.request(type, { channelId: "a" }), type).toMatchObject({
        ...{ type: "channel-state", data: { success: true, state: { channelId: "a", ...free } } },
      });
    }
    expect(await dora.request("emergency-broadcast-stop")).toMatchObject({ data: { success: true } });
    await dora.request("ptt-start", { channelId: "a" });
    const outsider = await connect(router, "out");
    expect(await outsider.request("ptt-stop", { channelId: "a" }), "the speaker stays hidden").toMatchObject({
      data: { success: true, state: free },
    });
  });

  it("with priority is for dispatchers only", async () => {
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

  it("pitfall 10: the end of a lease is sent to its speaker and to the others", async () => {
    server.leaseMs = 100;
    const router = await startRouter();
    const [speaker, listener] = [await joinA(router, "u1"), await joinA(router, "u2")];
    await speaker.request("ptt-start", { channelId: "a" });
    expect((await speaker.next("ptt-interrupted")).data).toMatchObject({ channelId: "a" });
    expect((await listener.next("speaker-changed", 2)).data.isBusy).toBe(false);
  });

  it("pitfalls 13, 16: a second device is a separate session, and releases only its own floor", async () => {
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

  it("is released if its client disconnects while the store is being asked", async () => {
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

  it("is sent to the clients of every router, once each and in order, for changes by any program", async () => {
    const [here, there] = [await startRouter(), await startRouter()];
    const [speaker, beside, far] = [await joinA(here, "u1"), await joinA(here, "u2"), await joinA(there, "u3")];
    for (let round = 0; round < 3; round += 1) {
      const granted = await speaker.request("ptt-start", { channelId: "a" });
      await far.next("speaker-changed", 4 * round + 1);
      expect(far.of("speaker-changed").at(-1)?.data).toEqual(granted.data.state);
      await speaker.request("ptt-stop", { channelId: "a" });
      // Changes that neither of the routers has made.
      server.setLease("a", zoe);
      server.setLease("a", undefined);
      for (const client of [speaker, beside, far]) await client.next("speaker-changed", 4 * round + 4);
    }
    const expected = Array.from({ length: 3 }, () => ["u1", null, "zoe", null]).flat();
    for (const client of [speaker, beside, far]) expect(speakers(client)).toEqual(expected);
    await waitFor(() => server.channelWatches.size === 2);
    await far.close();
    await waitFor(() => server.channelWatches.size === 1, { message: "an event without clients to be left" });
  });

  it("is compared after an interruption: changes are sent once", async () => {
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
    const received = client.of("speaker-changed").map(({ data }) => [data.channelId, data.currentSpeaker]);
    expect(received).toEqual([
      ["a", "zoe"],
      ["b", "zoe"],
      ["b", "yan"],
      ["a", null],
    ]);
  });

  it("is in the answer to a join, also while no changes are received", async () => {
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
