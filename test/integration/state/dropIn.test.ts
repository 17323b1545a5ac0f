import { pino } from "pino";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createRedisEngine } from "../../../src/engine/redis/engine.js";
import { createLogger } from "../../../src/lib/logger.js";
import {
  type ChannelState,
  ChannelStateManager,
  type ChannelStateOptions,
  PermissionSyncManager,
} from "../../../src/server/index.js";
import { assign } from "../../contract/fixtures.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { waitFor } from "../../support/waitFor.js";

// A router that has imported the managers in the place of its own. No replica runs.
const logger = createLogger("test", "silent");
let redis: RedisServer;
const closers: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  redis = await startRedis();
});
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  await redis.cli("FLUSHALL");
});
afterAll(() => redis.stop());

async function startChannels(options: ChannelStateOptions = {}): Promise<ChannelStateManager> {
  const channels = new ChannelStateManager({ redisUrl: redis.url, logger, ...options });
  closers.push(() => channels.shutdown());
  await channels.initialize();
  return channels;
}

const idle = (channelId: string): ChannelState => ({
  ...{ channelId, currentSpeaker: null, speakerName: null, isBusy: false, lockTimestamp: null },
});
const busy = (channelId: string, currentSpeaker: string, speakerName: string): ChannelState => ({
  ...{ channelId, currentSpeaker, speakerName, isBusy: true, lockTimestamp: expect.any(Number) },
});

describe("ChannelStateManager without a replica, on a channel that no event owns", () => {
  it("takes and releases a lock that every router understands", async () => {
    const channels = await startChannels();
    const states: ChannelState[] = [];
    await channels.subscribeToChannel("c", (state) => states.push(state));
    expect(await channels.getChannelState("c")).toEqual(idle("c"));
    expect(await channels.stopPtt("c", "anna")).toEqual(idle("c"));
    const held = busy("c", "anna", "Anna");
    expect(await channels.startPtt("c", "anna", "Anna")).toEqual({ success: true, state: held });
    expect(JSON.parse(await redis.cli("GET", "channel:c:speaker"))).toEqual({
      ...{ userId: "anna", userName: "Anna", timestamp: expect.any(Number) },
    });
    expect(Number(await redis.cli("TTL", "channel:c:speaker"))).toBeGreaterThan(28);
    expect(await channels.startPtt("c", "anna", "Anna")).toMatchObject({ success: true });
    expect(await channels.startPtt("c", "ben", "Ben")).toEqual({
      ...{ success: false, state: held, cause: "anotherHasPermission" },
      holder: { userId: "anna", userName: "Anna", startedAtMs: expect.any(Number) },
    });
    expect(await channels.stopPtt("c", "ben")).toEqual(held);
    expect(await channels.stopPtt("c", "anna")).toEqual(idle("c"));
    await waitFor(() => states.length === 2);
    expect(states).toEqual([held, idle("c")]);
  });

  it("honours the lock of another router", async () => {
    const channels = await startChannels();
    const lock = JSON.stringify({ userId: 7, userName: "Zoe", timestamp: Date.now() });
    await redis.cli("SET", "channel:c:speaker", lock, "EX", "30");
    expect(await channels.startPtt("c", "anna", "Anna")).toMatchObject({ success: false, holder: { userId: "7" } });
    expect(await channels.stopPtt("c", "7")).toEqual(idle("c"));
  });
});

describe("ChannelStateManager without a replica, on a channel of an event", () => {
  it("checks memberships only where the event has any", async () => {
    const channels = await startChannels();
    await channels.setChannelEvent("c", "fest");
    expect(await channels.getChannelState("c")).toEqual(idle("c"));
    expect(await channels.startPtt("c", "anna", "Anna")).toEqual({ success: true, state: busy("c", "anna", "Anna") });
    expect(await channels.startPtt("c", "ben", "Ben")).toMatchObject({
      ...{ success: false, cause: "anotherHasPermission", holder: { userId: "anna" } },
    });
    expect(await channels.getEventActiveSpeakers("fest")).toEqual(new Map([["c", "anna"]]));
    expect(await channels.pauseAllSpeakers("fest")).toEqual(["c"]);

    const strict = await startChannels({ strict: true });
    expect(await strict.startPtt("c", "anna", "Anna")).toEqual({
      success: false,
      state: idle("c"),
      cause: "receiveOnly",
    });

    const engine = createRedisEngine({ url: redis.url, logger });
    closers.push(() => engine.close());
    await engine.start();
    await assign(engine, "fest", "anna", ["c"]);
    expect(await channels.startPtt("c", "ben", "Ben")).toEqual({
      ...{ success: false, state: idle("c"), cause: "receiveOnly" },
    });
    expect(await channels.startPtt("c", "anna", "Anna")).toMatchObject({ success: true });
  });
});

describe("PermissionSyncManager without a replica", () => {
  it("is connected once start has resolved, every time", async () => {
    for (let round = 0; round < 20; round += 1) {
      const sync = new PermissionSyncManager(() => undefined, { redisUrl: redis.url, logger });
      await sync.start();
      expect(sync.isConnected()).toBe(true);
      await sync.stop();
      expect(sync.isConnected()).toBe(false);
    }
  });

  it("logs each update at info, with user and action", async () => {
    const lines: Record<string, unknown>[] = [];
    const recording = pino({ level: "info" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
    const sync = new PermissionSyncManager(() => undefined, { redisUrl: redis.url, logger: recording });
    closers.push(() => sync.stop());
    await sync.start();
    const update = { eventId: "e1", userId: 7, channelIds: ["a", "b"], action: "set_user_channels" };
    await redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify(update));
    await waitFor(() => lines.length > 0);
    expect(lines).toMatchObject([{ level: 30, userId: "7", eventId: "e1", action: "set_user_channels" }]);
  });
});
