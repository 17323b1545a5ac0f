import { describe, expect, it } from "vitest";
import {
  connect,
  joinA,
  server,
  startRouter,
  useRoutersOnFakeServer,
} from "../../../support/fakes/routersOnFakeServer.js";

useRoutersOnFakeServer();

describe("pitfall 47: today's clients", () => {
  it("read the role GENERAL, and a reply as well as a pong to a ping", async () => {
    const router = await startRouter();
    const [user, dispatcher] = [await connect(router, "u1"), await connect(router, "d1", { role: "DISPATCH" })];
    expect(user.of("channel-list")[0]?.data).toMatchObject({ role: "GENERAL", globalRole: "NONE" });
    expect(dispatcher.of("channel-list")[0]?.data).toMatchObject({ role: "DISPATCH" });
    expect(await user.request("ping")).toEqual({
      type: "channel-state",
      id: expect.any(String),
      data: { type: "pong" },
    });
    expect(await user.next("pong")).toEqual({ type: "pong" });
    user.socket.send('{"type":"ping"}');
    await user.next("pong", 2);
    expect(user.of("channel-state")).toHaveLength(1);
  });

  it("read how many users are on a channel, on joining and in presence frames", async () => {
    const router = await startRouter();
    const first = await joinA(router, "u1");
    expect(first.of("channel-state").at(-1)?.data).toMatchObject({ success: true, userCount: 1 });
    const [tablet, second] = [await joinA(router, "u1"), await joinA(router, "u2")];
    expect(tablet.of("channel-state").at(0)?.data, "a user counts once").toMatchObject({ userCount: 1 });
    expect(second.of("channel-state").at(-1)?.data).toMatchObject({ userCount: 2 });
    expect((await first.next("channel-state", 3)).data).toMatchObject({
      ...{ action: "user-joined", userId: "u2", userCount: 2 },
    });
    await second.request("leave-channel", { channelId: "a" });
    expect((await first.next("channel-state", 4)).data).toMatchObject({ action: "user-left", userCount: 1 });
    await tablet.close();
    expect((await first.next("channel-state", 5)).data).toMatchObject({ action: "user-disconnected", userCount: 1 });
  });

  it("do not pause the event by touching the emergency button", async () => {
    const router = await startRouter();
    const dispatcher = await connect(router, "d1", { role: "DISPATCH" });
    const short = await dispatcher.request("emergency-broadcast-start", { holdDuration: 1_999 });
    expect(short).toMatchObject({
      type: "error",
      error: "Hold the button for 2000 ms to broadcast; you held it for 1999 ms",
    });
    expect(server.callsOf("pauseAllSpeakers")).toEqual([]);
    expect(await dispatcher.request("emergency-broadcast-start", { holdDuration: 2_000 })).toMatchObject({
      data: { success: true },
    });
    const quick = await connect(await startRouter({ minHoldMs: 0 }), "d1", { role: "DISPATCH" });
    expect(await quick.request("emergency-broadcast-start", { holdDuration: 0 })).toMatchObject({
      data: { success: true },
    });
  });

  it("cannot disconnect themselves", async () => {
    const router = await startRouter();
    const dispatcher = await connect(router, "d1", { role: "DISPATCH" });
    expect((await dispatcher.request("force-disconnect", { targetUserId: "d1" })).error).toContain("yourself");
    expect(server.callsOf("disconnectUser")).toEqual([]);
  });

  it("join as many channels, and as many users a channel, as the limits allow", async () => {
    const router = await startRouter({ maxChannelsPerSocket: 1, maxChannelsPerDispatcher: 2, maxUsersPerChannel: 2 });
    for (const userId of ["u1", "u2", "d1"]) server.setUserChannels("e1", userId, ["a", "b", "c"]);
    const user = await joinA(router, "u1");
    expect((await user.request("join-channel", { channelId: "b" })).error).toContain("joined 1 channels already");
    expect(await user.request("join-channel", { channelId: "a" }), "again").toMatchObject({ data: { success: true } });
    await user.request("leave-channel", { channelId: "a" });
    expect(await user.request("join-channel", { channelId: "b" })).toMatchObject({ data: { success: true } });
    await joinA(router, "u2");
    const dispatcher = await joinA(router, "d1", { role: "DISPATCH" });
    expect(await dispatcher.request("join-channel", { channelId: "c" })).toMatchObject({ data: { success: true } });
    expect((await dispatcher.request("join-channel", { channelId: "b" })).error).toContain("2 channels already");
    const late = await connect(router, "u3");
    server.setUserChannels("e1", "u3", ["a"]);
    await late.next("permission-update");
    expect((await late.request("join-channel", { channelId: "a" })).error).toBe("The channel is full: it has 2 users");
    await joinA(router, "u2");
  });
});
