import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { SpeakerPause } from "../../../../src/domain/floor.js";
import { createLogger } from "../../../../src/lib/logger.js";
import { PermissionClient } from "../../../../src/router/client/permissionClient.js";
import type { PermissionChange } from "../../../../src/router/client/permissionEvents.js";
import { type CutPolicy, PermissionRelay, type RelaySocket } from "../../../../src/router/relay/permissionRelay.js";

const logger = createLogger("test", "silent");

let client: PermissionClient;
let pause: SpeakerPause | undefined;

beforeEach(() => {
  // This client is never started: the tests play the service.
  client = new PermissionClient({ address: "127.0.0.1:1", routerId: "test", logger });
  pause = undefined;
  vi.spyOn(client, "pauseOf").mockImplementation((eventId) => (eventId === "e" ? pause : undefined));
});

afterEach(() => client.close());

class TestSocket implements RelaySocket {
  readonly frames: string[] = [];
  readonly joined: Set<string>;
  readonly transmitting = new Map<string, number>();
  closed: [number, string] | undefined;

  constructor(...joined: string[]) {
    this.joined = new Set(joined);
  }

  get received() {
    return this.frames.map((frame) => JSON.parse(frame));
  }

  send(frame: string) {
    this.frames.push(frame);
  }

  close(code: number, reason: string) {
    this.closed = [code, reason];
  }

  joinedChannels() {
    return this.joined;
  }

  isTransmitting(channelId: string, startedAtMs?: number) {
    const taken = this.transmitting.get(channelId);
    return taken !== undefined && (startedAtMs === undefined || taken === startedAtMs);
  }

  stopTransmission(channelId: string) {
    this.transmitting.delete(channelId);
  }

  leaveChannel(channelId: string) {
    this.joined.delete(channelId);
    this.transmitting.delete(channelId);
  }
}

function startRelay(cut?: CutPolicy) {
  return new PermissionRelay(client, { logger, ...(cut && { cut }) });
}

function change(userId: string, channelIds: string[], removed: string[] = [], added: string[] = []): PermissionChange {
  return { eventId: "e", userId, channelIds, added, removed, action: "set_user_channels", revision: 1 };
}

const standing: SpeakerPause = {
  pauseId: "p1",
  reason: "fire in hall 2",
  actor: "user:d",
  startedAtMs: 1_000,
  expiresAtMs: 61_000,
  exemptUserIds: [],
  broadcaster: { userId: "d", userName: "Dora" },
};

const speaker = (channelId: string, userId: string, startedAtMs: number) => ({
  ...{ channelId, userId, userName: userId, startedAtMs },
  ...{ expiresAtMs: startedAtMs + 30_000, priority: "normal" as const },
});

describe("permission changes", () => {
  it("pitfall 1: a revoked user leaves the channel on all their sockets, and each socket is notified once", () => {
    const relay = startRelay();
    const [phone, tablet, other] = [new TestSocket("a", "b"), new TestSocket("a"), new TestSocket("a")];
    relay.register(phone, { eventId: "e", userId: "u" });
    relay.register(tablet, { eventId: "e", userId: "u" });
    relay.register(other, { eventId: "e", userId: "v" });
    client.emit("change", change("u", ["b"], ["a"]));
    expect([...phone.joined]).toEqual(["b"]);
    expect([...tablet.joined]).toEqual([]);
    expect([...other.joined]).toEqual(["a"]);
    expect(phone.received).toMatchObject([{ type: "permission-update", data: { channels: ["b"], removed: ["a"] } }]);
    expect(tablet.frames[0], "encoded once").toBe(phone.frames[0]);
    expect(other.frames).toEqual([]);
  });

  it("a revocation is in force when the last speaker was removed from the channel, and not before", () => {
    let deferred = 0;
    vi.spyOn(client, "deferApplied").mockImplementation((eventId) => {
      expect(eventId).toBe("e");
      deferred++;
      return () => deferred--;
    });
    const relay = startRelay();
    const sockets = Array.from({ length: 4 }, () => new TestSocket("a", "b"));
    const [finishing, leaving, regranted] = sockets as [TestSocket, TestSocket, TestSocket];
    for (const socket of sockets) {
      relay.register(socket, { eventId: "e", userId: "u" });
      if (socket !== sockets[3]) socket.transmitting.set("a", 1);
    }
    client.emit("change", change("u", ["b"], ["a"]));
    client.emit("change", change("u", [], ["b"]));
    expect(deferred, "each speaker once; who does not speak was put off at once").toBe(3);
    finishing.transmitting.delete("a");
    relay.transmissionEnded(finishing, "a");
    relay.transmissionEnded(finishing, "a");
    expect(deferred).toBe(2);
    relay.unregister(leaving);
    relay.transmissionEnded(leaving, "a");
    expect(deferred).toBe(1);
    client.emit("change", change("u", ["a"], [], ["a"]));
    expect(deferred).toBe(0);
    expect(regranted.joined).toContain("a");
  });

  it("cuts a revoked speaker who does not finish in time", () => {
    vi.useFakeTimers();
    try {
      const relay = new PermissionRelay(client, { logger, cutAfterMs: 5_000 });
      const [talker, regranted] = [new TestSocket("a"), new TestSocket("a")];
      relay.register(talker, { eventId: "e", userId: "u" });
      relay.register(regranted, { eventId: "e", userId: "v" });
      for (const socket of [talker, regranted]) socket.transmitting.set("a", 1);
      client.emit("change", change("u", [], ["a"]));
      client.emit("change", change("v", [], ["a"]));
      vi.advanceTimersByTime(4_999);
      expect([...talker.joined]).toEqual(["a"]);
      client.emit("change", change("v", ["a"], [], ["a"]));
      vi.advanceTimersByTime(1);
      expect([...talker.joined]).toEqual([]);
      expect([...regranted.joined]).toEqual(["a"]);
    } finally {
      vi.useRealTimers();
    }
  });

  it("pitfall 4: another event's change does not reach the same user here", () => {
    const relay = startRelay();
    const socket = new TestSocket("a");
    relay.register(socket, { eventId: "e", userId: "u" });
    client.emit("change", { ...change("u", [], ["a"]), eventId: "f" });
    expect(socket.frames).toEqual([]);
    expect([...socket.joined]).toEqual(["a"]);
  });

  it("let a speaker finish unless configured to cut", () => {
    const relay = startRelay();
    const socket = new TestSocket("a");
    socket.transmitting.set("a", 1);
    relay.register(socket, { eventId: "e", userId: "u" });
    client.emit("change", change("u", [], ["a"]));
    expect([...socket.joined]).toEqual(["a"]);
    socket.transmitting.clear();
    relay.transmissionEnded(socket, "a");
    expect([...socket.joined]).toEqual([]);

    const hasty = new TestSocket("a");
    hasty.transmitting.set("a", 1);
    startRelay("atOnce").register(hasty, { eventId: "e", userId: "u" });
    client.emit("change", change("u", [], ["a"]));
    expect([...hasty.joined]).toEqual([]);
  });

  it("pitfall 5: a deferred removal belongs to its socket, and only a new grant cancels it", () => {
    const relay = startRelay();
    const [phone, tablet] = [new TestSocket("a"), new TestSocket("a")];
    for (const socket of [phone, tablet]) {
      socket.transmitting.set("a", 1);
      relay.register(socket, { eventId: "e", userId: "u" });
    }
    client.emit("change", change("u", [], ["a"]));
    relay.unregister(tablet);
    relay.transmissionEnded(phone, "a");
    expect([...phone.joined], "the closing of another socket cancels nothing").toEqual([]);

    const again = new TestSocket("a");
    again.transmitting.set("a", 1);
    relay.register(again, { eventId: "e", userId: "u" });
    client.emit("change", change("u", [], ["a"]));
    client.emit("change", change("u", ["a"], [], ["a"]));
    relay.transmissionEnded(again, "a");
    expect([...again.joined], "granted again").toEqual(["a"]);
  });

  it("pitfall 16: sockets of one user and one millisecond are distinguished", () => {
    const relay = startRelay();
    const sockets = Array.from({ length: 50 }, () => new TestSocket("a"));
    for (const socket of sockets) relay.register(socket, { eventId: "e", userId: "u", connectedAtMs: 1 });
    relay.unregister(sockets[0] as TestSocket);
    client.emit("change", change("u", [], ["a"]));
    expect(sockets.filter(({ frames }) => frames.length === 1)).toHaveLength(49);
  });

  it("reach the other sockets if one fails", () => {
    const relay = startRelay();
    const [broken, sound] = [new TestSocket("a"), new TestSocket("a")];
    broken.send = () => {
      throw new Error("broken");
    };
    relay.register(broken, { eventId: "e", userId: "u" });
    relay.register(sound, { eventId: "e", userId: "u" });
    client.emit("change", change("u", [], ["a"]));
    expect([...broken.joined], "put off all the same").toEqual([]);
    expect(sound.frames).toHaveLength(1);
  });

  it("are requested by heartbeat as long as the user has a socket", () => {
    const [track, untrack] = [vi.spyOn(client, "trackUser"), vi.spyOn(client, "untrackUser")];
    const relay = startRelay();
    const [phone, tablet] = [new TestSocket(), new TestSocket()];
    relay.register(phone, { eventId: "e", userId: "u" });
    relay.register(tablet, { eventId: "e", userId: "u" });
    relay.unregister(phone);
    relay.unregister(phone);
    expect(track).toHaveBeenCalledWith("e", "u");
    expect(untrack).not.toHaveBeenCalled();
    relay.unregister(tablet);
    expect(untrack).toHaveBeenCalledWith("e", "u");
  });
});

describe("a pause", () => {
  it("pitfall 20: interrupts the socket that spoke, and no other floor of that user", () => {
    const relay = startRelay();
    const [speaking, silent, later] = [new TestSocket("a"), new TestSocket("a"), new TestSocket("a")];
    speaking.transmitting.set("a", 500);
    later.transmitting.set("a", 2_000);
    for (const socket of [speaking, silent, later]) relay.register(socket, { eventId: "e", userId: "u" });
    client.emit("paused", { eventId: "e", pause: standing, cut: [speaker("a", "u", 500)] });
    expect(speaking.received).toEqual([
      { type: "ptt-interrupted", data: { channelId: "a", interruptedBy: "Dora", message: "fire in hall 2" } },
    ]);
    expect(speaking.transmitting.size).toBe(0);
    expect(silent.frames).toEqual([]);
    expect(later.isTransmitting("a"), "taken after the pause").toBe(true);
  });

  it("removes a speaker who was revoked before", () => {
    const relay = startRelay();
    const socket = new TestSocket("a");
    socket.transmitting.set("a", 500);
    relay.register(socket, { eventId: "e", userId: "u" });
    client.emit("change", change("u", [], ["a"]));
    client.emit("paused", { eventId: "e", pause: standing, cut: [speaker("a", "u", 500)] });
    expect([...socket.joined]).toEqual([]);
  });

  it("is announced to all users of the event while it stands, once for each joined channel", () => {
    const relay = startRelay();
    const [joined, idle, elsewhere] = [new TestSocket("a", "b"), new TestSocket(), new TestSocket("x")];
    relay.register(joined, { eventId: "e", userId: "u" });
    relay.register(idle, { eventId: "e", userId: "v" });
    relay.register(elsewhere, { eventId: "f", userId: "u" });
    pause = standing;
    client.emit("paused", { eventId: "e", pause: standing, cut: [] });
    const data = { dispatchUserId: "d", dispatchUserName: "Dora" };
    const start = { type: "emergency-broadcast-start" };
    expect(joined.received).toEqual([
      { ...start, data: { ...data, channelId: "a" } },
      { ...start, data: { ...data, channelId: "b" } },
    ]);
    expect(idle.received).toEqual([{ ...start, data: { ...data, channelId: null } }]);
    const late = new TestSocket();
    relay.register(late, { eventId: "e", userId: "w" });
    expect(late.received, "pitfall 19: newcomers").toEqual([{ ...start, data: { ...data, channelId: null } }]);
    pause = undefined;
    client.emit("resumed", { eventId: "e", pauseId: "p1", expired: false, pause: standing });
    expect(late.received.at(-1)).toEqual({ type: "emergency-broadcast-stop", data: { ...data, channelId: null } });
    expect(elsewhere.frames).toEqual([]);
  });

  it("without a latch is not announced", () => {
    const relay = startRelay();
    const socket = new TestSocket("a");
    relay.register(socket, { eventId: "e", userId: "u" });
    client.emit("paused", { eventId: "e", pause: { ...standing, expiresAtMs: 1_000 }, cut: [] });
    expect(socket.frames).toEqual([]);
  });
});

it("a floor that was revoked is interrupted with its cause", () => {
  const relay = startRelay();
  const socket = new TestSocket("a");
  socket.transmitting.set("a", 1);
  relay.register(socket, { eventId: "e", userId: "u" });
  const floor = { eventId: "e", channelId: "a", userId: "u", startedAtMs: 1 };
  const revocation = { ...floor, cause: "preEmpted", byUserId: "d" } as const;
  client.emit("floorRevoked", { ...revocation, startedAtMs: 2 });
  expect(socket.received, "it was another one").toEqual([]);
  client.emit("floorRevoked", revocation);
  client.emit("floorRevoked", revocation);
  expect(socket.received).toEqual([
    {
      type: "ptt-interrupted",
      data: { channelId: "a", interruptedBy: "d", message: "A user with higher priority has taken the floor" },
    },
  ]);
});

it("pitfall 23: a disconnection closes all sockets of the user in the event, with a reason that fits", () => {
  const relay = startRelay();
  const [phone, tablet, elsewhere, younger] = Array.from({ length: 4 }, () => new TestSocket()) as [
    TestSocket,
    TestSocket,
    TestSocket,
    TestSocket,
  ];
  relay.register(phone, { eventId: "e", userId: "u", connectedAtMs: 10 });
  relay.register(tablet, { eventId: "e", userId: "u", connectedAtMs: 20 });
  relay.register(elsewhere, { eventId: "f", userId: "u", connectedAtMs: 10 });
  relay.register(younger, { eventId: "e", userId: "u", connectedAtMs: 30 });
  const reason = "é".repeat(100);
  client.emit("disconnect", { eventId: "e", userId: "u", reason, connectedBeforeMs: 30 });
  for (const socket of [phone, tablet]) {
    expect(socket.received).toEqual([{ type: "force-disconnect", data: { reason } }]);
    expect(socket.closed).toEqual([4003, "é".repeat(61)]);
  }
  expect(elsewhere.closed).toBeUndefined();
  expect(younger.closed).toBeUndefined();
  client.emit("disconnect", { eventId: "e", userId: "u", reason: "x", connectedBeforeMs: Number.POSITIVE_INFINITY });
  expect(younger.closed).toEqual([4003, "x"]);
});
