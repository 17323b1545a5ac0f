import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
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

describe("an emergency", () => {
  it("pitfalls 19, 20: reaches all users on every router, cuts the speakers and holds newcomers", async () => {
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
    // The time for which the button was held does not limit the broadcast.
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
    expect(await victim.request("ptt-stop", { channelId: "a" }), "pitfall 36").toMatchObject({
      data: { success: true, state: { currentSpeaker: "dora", isBusy: true } },
    });
    const late = await joinA(there, "late");
    expect(late.frames.slice(0, 2)).toMatchObject([
      { type: "channel-list" },
      { type: "emergency-broadcast-start", data: { channelId: null } },
    ]);
    expect((await late.next("emergency-broadcast-start", 2)).data).toEqual(announced);
    const elsewhere = await connect(there, "dora", { role: "DISPATCH", userName: "Dora" });
    const { pauseId } = started.data;
    expect(await elsewhere.request("emergency-broadcast-stop", { pauseId })).toMatchObject({ data: { success: true } });
    for (const client of [dispatcher, victim, late]) {
      expect((await client.next("emergency-broadcast-stop")).data).toEqual(announced);
    }
    expect((await victim.next("speaker-changed", 3)).data.isBusy).toBe(false);
    expect(await victim.request("ptt-start", { channelId: "a" })).toMatchObject({ data: { success: true } });
    expect(outsider.frames.map(({ type }) => type)).toEqual(["channel-list"]);
  });

  it("is for dispatchers only; a second dispatcher gets the name of the first", async () => {
    const router = await startRouter();
    const [user, dispatcher] = [await joinA(router, "u1"), await joinA(router, "d1", { role: "ADMIN" })];
    expect((await user.request("emergency-broadcast-start", { holdDuration: 5_000 })).error).toContain("dispatchers");
    expect((await user.request("emergency-broadcast-stop")).error).toContain("dispatchers");
    expect(await dispatcher.request("emergency-broadcast-stop")).toMatchObject({ data: { success: true } });
    server.pause("e1", { reason: "drill", broadcaster: { userId: "d2" } }, 60_000);
    expect(await dispatcher.request("emergency-broadcast-start")).toMatchObject({
      ...{ type: "error", error: expect.stringMatching(/^d2 has paused the event until 20/) },
      data: { dispatchUserId: "d2", dispatchUserName: "d2", pauseId: "pause-1", reason: "drill" },
    });
    expect(server.event("e1").pause?.pauseId).toBe("pause-1");
    server.failing.set("pauseAllSpeakers", status.UNAVAILABLE);
    expect((await dispatcher.request("emergency-broadcast-start")).error).toBe("Service unavailable");
  });

  it("pitfall 21: a dispatcher with a lost connection starts again on another device, and on another router", async () => {
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

  it("can be taken over by naming the pause; the first dispatcher is notified", async () => {
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

  it("pitfall 35: releasing the button lifts only the client's own broadcast, not one that replaced it, nor a pause", async () => {
    const router = await startRouter();
    const dora = await joinA(router, "dora", { role: "DISPATCH", userName: "Dora" });
    const carl = await joinA(router, "carl", { role: "DISPATCH", userName: "Carl" });
    const first = await dora.request("emergency-broadcast-start");
    const taken = await carl.request("emergency-broadcast-start", { replacePauseId: first.data.pauseId });
    expect(await dora.request("emergency-broadcast-stop")).toMatchObject({
      ...{ type: "error", error: expect.stringMatching(/^Carl has paused the event until/) },
      data: { dispatchUserId: "carl", pauseId: taken.data.pauseId },
    });
    expect(server.event("e1").pause?.pauseId).toBe(taken.data.pauseId);
    expect(await carl.request("emergency-broadcast-stop")).toMatchObject({ data: { success: true } });
    await dora.request("emergency-broadcast-start");
    server.resume("e1");
    server.pause("e1", { reason: "Evacuation" }, 60_000);
    const evacuation = server.event("e1").pause?.pauseId;
    expect((await dora.request("emergency-broadcast-stop")).data).toMatchObject({ pauseId: evacuation });
    expect(server.event("e1").pause?.pauseId, "the evacuation stays").toBe(evacuation);
    const named = await carl.request("emergency-broadcast-stop", { pauseId: evacuation });
    expect(named, "a dispatcher who names the pause ends it").toMatchObject({ data: { success: true } });
    expect(server.event("e1").pause).toBeUndefined();
  });

  it("lets a dispatcher who is speaking continue until it ends", async () => {
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

  it("that overtakes the answer to a press leaves no microphone open", async () => {
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

  it("that was missed is found when the router compares with the store after a snapshot", async () => {
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
