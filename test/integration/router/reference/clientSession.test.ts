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

describe("permissions", () => {
  it("reach the sockets of the user, and remove a revoked user from the channel (pitfall 1)", async () => {
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

  it("pitfalls 3, 4: allow to join a channel only with permission, and only in its own event", async () => {
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

  it("are checked again at every press", async () => {
    const router = await startRouter();
    const client = await joinA(router, "u1");
    await client.request("ptt-start", { channelId: "a" });
    server.setUserChannels("e1", "u1", []);
    await client.next("permission-update");
    expect(await client.request("ptt-start", { channelId: "a" })).toMatchObject({ data: { denied: true } });
    expect(await client.next("ptt-denied")).toMatchObject({ data: { channelId: "a", cause: "receiveOnly" } });
    expect(held("a"), "the current transmission continues").toBe("u1");
    expect(await client.request("ptt-stop", { channelId: "a" })).toMatchObject({ data: { success: true } });
    expect((await client.request("ptt-start", { channelId: "a" })).error).toContain("Join the channel");
  });

  it("that are lost end a transmission after 5 s at the latest, and are not renewed until then", async () => {
    const router = await startRouter();
    const [client, listener] = [await joinA(router, "u1"), await joinA(router, "u2")];
    await client.request("ptt-start", { channelId: "a" });
    server.setUserChannels("e1", "u1", []);
    await client.next("permission-update");
    const revokedAtMs = performance.now();
    const { data } = await client.next("ptt-interrupted");
    expect(data).toMatchObject({ channelId: "a", message: "You may no longer speak on this channel" });
    expect(performance.now() - revokedAtMs).toBeGreaterThan(3_000);
    expect(performance.now() - revokedAtMs).toBeLessThan(5_500);
    expect((await listener.next("speaker-changed", 2)).data).toMatchObject({ isBusy: false });
    expect(server.callsOf("renewPtt")).toEqual([]);
  });

  it("take the floor away at once if configured", async () => {
    const router = await startRouter({ cut: "atOnce" });
    const [client, listener] = [await joinA(router, "u1"), await joinA(router, "u2")];
    await client.request("ptt-start", { channelId: "a" });
    server.setUserChannels("e1", "u1", []);
    expect(await client.next("ptt-interrupted")).toMatchObject({ data: { channelId: "a" } });
    expect((await listener.next("speaker-changed", 2)).data).toMatchObject({ isBusy: false });
    expect(held("a")).toBeUndefined();
  });

  it("leave no speaker when a socket closes during a request for the floor", async () => {
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

describe("a socket", () => {
  it("survives invalid frames, and answers what is wrong with them", async () => {
    const router = await startRouter();
    const client = await connect(router, "u1");
    for (const frame of ["{", "[]", '{"type":"toString"}', Buffer.from([0xff, 0xfe]), '{"type":"join-channel"}']) {
      client.socket.send(frame);
    }
    await client.next("error", 5);
    expect(await client.request("ping")).toMatchObject({ type: "channel-state", data: { type: "pong" } });
    expect(await client.request("leave-channel", { channelId: "a" })).toMatchObject({ data: { success: true } });
  });

  it("is closed when its user is disconnected", async () => {
    const router = await startRouter();
    const [client, other] = [await connect(router, "u1"), await connect(router, "u1", { eventId: "e2" })];
    await joinA(router, "u2");
    server.append("e1", { case: "userDisconnected", value: { userId: "u1", reason: "🚒".repeat(99) } });
    await waitFor(() => client.closed);
    expect(client.closed).toEqual({ code: 4003, reason: "🚒".repeat(30) });
    expect(client.of("force-disconnect")).toHaveLength(1);
    expect(other.closed).toBeUndefined();
  });

  it("that does not answer is also dropped when its user is disconnected", async () => {
    const router = await startRouter();
    const [client, other] = [await joinA(router, "u1"), await joinA(router, "u2")];
    client.socket.pause();
    server.append("e1", { case: "userDisconnected", value: { userId: "u1", reason: "" } });
    const left = () => other.of("channel-state").some(({ data }) => data.action === "user-disconnected");
    await waitFor(left, { message: "the others to be notified that the user is gone" });
  });

  it("G8: that does not read is closed, and nothing is buffered for it", async () => {
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

  it("pitfall 40: that sends 500 frames at once gets an answer to each, in order", async () => {
    const router = await startRouter();
    server.setUserChannels("e1", "u1", ["a"]);
    const client = await connect(router, "u1");
    for (let id = 1; id <= 500; id += 1) {
      client.socket.send(JSON.stringify({ type: "join-channel", id, data: { channelId: "a" } }));
    }
    await client.next("channel-state", 500);
    expect(client.of("channel-state").map(({ id }) => id)).toEqual(
      Array.from({ length: 500 }, (_, index) => index + 1),
    );
    expect(client.of("channel-state").every(({ data }) => data.success)).toBe(true);
    expect(client.closed).toBeUndefined();
  });

  it("pitfall 40: is not read while its requests wait, and is closed all the same where its user is disconnected", async () => {
    const router = await startRouter();
    const client = await joinA(router, "u1");
    let answer: (value?: unknown) => void = () => undefined;
    server.gates.set(
      "getChannelState",
      new Promise((resolve) => {
        answer = resolve;
      }),
    );
    // More than the buffers of both sockets can hold.
    const frame = `{"type":"join-channel","data":{"channelId":"a","padding":"${"x".repeat(60_000)}"}}`;
    for (let index = 0; index < 400; index += 1) client.socket.send(frame);
    await waitFor(() => server.callsOf("getChannelState").length > 1);
    expect(client.socket.bufferedAmount, "the router has stopped reading").toBeGreaterThan(0);
    server.append("e1", { case: "userDisconnected", value: { userId: "u1", reason: "out" } });
    await waitFor(() => client.closed);
    expect(client.closed?.code).toBe(4003);
    answer();
  });
});

describe("the router", () => {
  it("closes its sockets and releases floors when stop is called once or several times", async () => {
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

  it("explains mistakes in its options", async () => {
    await expect(startRouter({ listen: "nowhere" })).rejects.toThrow("listen");
    await expect(startRouter({ address: "nowhere" })).rejects.toThrow("address");
    await expect(startRouter({ jwtSecret: "" })).rejects.toThrow("jwtSecret");
    const router = await startRouter();
    await expect(startRouter({ listen: router.wsAddress })).rejects.toThrow("EADDRINUSE");
  });
});
