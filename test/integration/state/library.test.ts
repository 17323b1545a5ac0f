import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { ChannelState } from "../../../src/server/state/channelState.js";
import { endChild, startChild } from "../../support/childProcess.js";
import { connect } from "../../support/clients/watchClient.js";
import { collectLines } from "../../support/collectLines.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

let redis: RedisServer;
let library: Awaited<ReturnType<typeof startLibrary>>;

async function startLibrary(redisUrl: string) {
  const child = await startChild(process.execPath, ["test/support/clients/libraryProcess.mjs"], {
    env: { ...process.env, SQUELCH_REDIS_URL: redisUrl },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = collectLines(child.stdout);
  const said = (kind: string) => lines.map((line) => JSON.parse(line)).filter((message) => kind in message);
  let answered = 0;
  return {
    /** Calls a method in the other process and returns its result, or `{ error, message }`. */
    async call(target: "sync" | "channels", method: string, ...args: unknown[]): Promise<unknown> {
      child.stdin?.write(`${JSON.stringify([target, method, ...args])}\n`);
      const isAnswer = (message: object) => "result" in message || "error" in message;
      const answers = () => lines.map((line) => JSON.parse(line)).filter(isAnswer);
      const answer = await waitFor(() => answers()[answered], { message: `${method} to return` });
      answered++;
      return "result" in answer ? answer.result : answer;
    },
    /** The arguments of the callbacks. */
    events: (name: string) => said("event").filter((message) => message.event === name),
    async stop() {
      child.stdin?.end();
      await waitFor(() => child.exitCode !== null, { message: "the library's process to end by itself" });
      await endChild(child, "SIGKILL");
    },
  };
}

beforeAll(async () => {
  redis = await startRedis();
  library = await startLibrary(redis.url);
});
afterAll(async () => {
  await library?.stop();
  await redis?.stop();
});

describe("PermissionSyncManager in a process of its own", () => {
  it("uses the URL in SQUELCH_REDIS_URL and delivers each update", async () => {
    await library.call("sync", "start");
    expect(await library.call("sync", "isConnected")).toBe(true);
    const update = { eventId: "e1", userId: 7, channelIds: ["b", "a"], action: "set_user_channels" };
    await redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify(update));
    await waitFor(() => library.events("change").length === 1);
    expect(library.events("change")).toEqual([
      { event: "change", userId: "7", eventId: "e1", newChannelIds: ["a", "b"], action: "set_user_channels" },
    ]);
    await library.call("sync", "stop");
    expect(await library.call("sync", "isConnected")).toBe(false);
    expect(await redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify(update))).toBe("0");
  });
});

describe("ChannelStateManager in a process of its own", () => {
  it("keeps channels, floors and callbacks, beside a replica on the same Redis (pitfalls 3, 12, 14, 15, 17)", async () => {
    const replica = await startSquelch({ redisUrl: redis.url });
    const client = connect(replica.grpcAddress);
    const { setUserChannels } = PermissionService.method;
    const channels = (method: string, ...args: unknown[]) => library.call("channels", method, ...args);
    try {
      await channels("initialize");
      expect(await channels("getChannelEvent", "stage")).toBeNull();
      await channels("setChannelEvent", "stage", "fest");
      await channels("setChannelEvent", "gate", "fest");
      expect(await channels("getChannelEvent", "stage")).toBe("fest");
      expect(await channels("getChannelsForEvent", "fest")).toEqual(["gate", "stage"]);
      await client.unary(setUserChannels, { eventId: "fest", userId: "anna", channelIds: ["stage"] });

      // There are ten joins, but only one callback per change.
      for (let join = 0; join < 10; join++) await channels("subscribeToChannel", "stage");
      expect(await channels("startPtt", "stage", "ben", "Ben")).toMatchObject({
        success: false,
        state: { isBusy: false },
      });
      const started = (await channels("startPtt", "stage", "anna", "Anna")) as { state: ChannelState };
      expect(started).toMatchObject({
        success: true,
        state: { currentSpeaker: "anna", speakerName: "Anna", isBusy: true },
      });
      expect(Math.abs(Number(started.state.lockTimestamp) - Date.now())).toBeLessThan(5_000);
      expect(await channels("getEventActiveSpeakers", "fest")).toEqual([["stage", "anna"]]);
      expect(await channels("stopPtt", "stage", "ben")).toEqual(started.state);
      await waitFor(() => library.events("state").length > 0);
      await channels("unsubscribeFromChannel", "stage");
      expect(await channels("pauseAllSpeakers", "fest")).toEqual(["stage"]);
      expect(await channels("getChannelState", "stage")).toMatchObject({ currentSpeaker: null, isBusy: false });
      await waitFor(() => library.events("state").length > 1);
      expect(library.events("state").map(({ currentSpeaker }) => currentSpeaker)).toEqual(["anna", null]);

      for (let leave = 0; leave < 9; leave++) await channels("unsubscribeFromChannel", "stage");
      expect(await redis.cli("PUBSUB", "NUMSUB", "channel:stage:events")).toMatch(/\s0$/);
      expect(await channels("getChannelState", "nowhere")).toMatchObject({ currentSpeaker: null, isBusy: false });
    } finally {
      client.close();
      await replica.close();
    }
  });

  it("rejects if Redis fails", async () => {
    await redis.kill("SIGKILL");
    for (const [method, ...args] of [
      ["getChannelsForEvent", "fest"],
      ["getEventActiveSpeakers", "fest"],
      ["pauseAllSpeakers", "fest"],
      ["startPtt", "stage", "anna", "Anna"],
      ["getChannelState", "stage"],
    ] as [string, ...string[]][]) {
      expect(await library.call("channels", method, ...args), method).toMatchObject({ error: "unavailable" });
    }
  });
});
