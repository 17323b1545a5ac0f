import { fromBinary } from "@bufbuild/protobuf";
import { afterEach, expect, test, vi } from "vitest";
import { WatchChannelsResponseSchema } from "../../../../gen/squelch/v1/channel_service_pb.js";
import type { Engine } from "../../../../src/domain/ports/engine.js";
import type { FloorNews } from "../../../../src/domain/ports/floorStore.js";
import { createMemoryEngine } from "../../../../src/engine/memory/engine.js";
import { createLogger } from "../../../../src/lib/logger.js";
import { ChannelWatcher } from "../../../../src/server/feed/speakers/channelWatcher.js";
import { EventSpeakers } from "../../../../src/server/feed/speakers/eventSpeakers.js";
import { messagesOf } from "../../../../src/server/feed/wire/frame.js";
import { makeEvent, press, take } from "../../../contract/fixtures.js";
import { FakeSink } from "../../../support/fakes/fakeSink.js";
import { waitFor } from "../../../support/waitFor.js";

const logger = createLogger("test", "silent");
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** Opens a watch of one event on an engine, and returns its messages in a short form. */
async function watch(engine: Engine, eventId: string) {
  const speakers = new EventSpeakers(eventId, engine, logger);
  await speakers.open();
  const sink = new FakeSink();
  const watcher = new ChannelWatcher(sink);
  closers.push(
    () => watcher.close(),
    () => speakers.close(),
  );
  const received = () =>
    sink.buffers.flatMap(messagesOf).map((message) => {
      const { payload } = fromBinary(WatchChannelsResponseSchema, message);
      if (payload.case === "snapshot") return payload.value.speakers.map(({ userId }) => userId);
      return payload.case === "changed" ? [payload.value.channelId, payload.value.holder?.userId] : "checkpoint";
    });
  return { speakers, sink, watcher, received };
}

test("G8: a slow reader gets the latest state of each channel", async () => {
  const engine = createMemoryEngine({ logger });
  const { eventId, channelIds } = await makeEvent(engine, ["u", "v"], 3);
  const [a, b] = channelIds as [string, string];
  const { speakers, sink, watcher, received } = await watch(engine, eventId);
  sink.isReading = false;
  watcher.add(speakers);
  for (let round = 0; round < 1_000; round++) {
    for (const channelId of [a, b]) {
      await engine.stopPtt(channelId, { leaseId: (await take(engine, channelId, "u")).leaseId });
    }
  }
  await take(engine, b, "v");
  await waitFor(() => speakers.floorOf(b).holder?.userId === "v");
  sink.isReading = true;
  await waitFor(() => received().length === 3);
  expect(received()).toEqual([[], [a, undefined], [b, "v"]]);
});

test("G8: thousands of changes are few writes, each bounded, and none is sent twice", async () => {
  const engine = createMemoryEngine({ logger });
  const { eventId, channelIds } = await makeEvent(engine, ["u"], 2_000);
  const { speakers, sink, watcher, received } = await watch(engine, eventId);
  watcher.add(speakers);
  await waitFor(() => received().length === 1);
  // Listing all speakers for each change would take time in proportion to the speakers.
  const list = vi.spyOn(speakers, "listSpeakers");
  sink.isReading = false;
  await engine.pauseAllSpeakers({
    ...{ eventId, reason: "", actor: "test", durationMs: 60_000, exemptUserIds: [], requestId: "" },
    broadcaster: { userId: "dora", userName: "Dora" },
  });
  await waitFor(() => speakers.floorOf(channelIds.at(-1) as string).holder !== undefined);
  expect(sink.buffers).toHaveLength(2);
  sink.isReading = true;
  await waitFor(() => received().length > channelIds.length);
  expect(received().slice(1).sort()).toEqual(channelIds.map((channelId) => [channelId, "dora"]));
  expect(list).not.toHaveBeenCalled();
  const sizes = sink.buffers.slice(2).map((buffer) => buffer.length);
  expect(Math.max(...sizes)).toBeLessThan(17 << 10);
  expect(Math.min(...sizes.slice(0, -1))).toBeGreaterThanOrEqual(16 << 10);
});

test("every watcher is sent the same bytes, encoded once", async () => {
  const engine = createMemoryEngine({ logger });
  const { eventId, channelId } = await makeEvent(engine, ["u"]);
  const { speakers } = await watch(engine, eventId);
  const { leaseId } = await take(engine, channelId, "u");
  await waitFor(() => speakers.listSpeakers().length === 1);
  const frame = speakers.encodeFloorOf(channelId);
  expect(speakers.encodeFloorOf(channelId)).toBe(frame);
  await engine.stopPtt(channelId, { leaseId });
  await waitFor(() => speakers.listSpeakers().length === 0);
  expect(speakers.encodeFloorOf(channelId)).not.toEqual(frame);
});

test("a gap in the messages causes a snapshot, and so does another epoch", async () => {
  const engine = createMemoryEngine({ logger });
  const { eventId, channelIds } = await makeEvent(engine, ["u"], 2);
  const [a, b] = channelIds as [string, string];
  let deliver: (news: FloorNews) => void = () => undefined;
  let lose = false;
  const lossy: Engine = {
    ...engine,
    followFloor: (id, listener) => {
      deliver = listener;
      return engine.followFloor(id, (news) => (lose ? undefined : listener(news)));
    },
  };
  const { speakers, watcher, received } = await watch(lossy, eventId);
  watcher.add(speakers);
  lose = true;
  await take(engine, a, "u");
  lose = false;
  await new Promise(setImmediate);
  await take(engine, b, "u");
  await waitFor(() => received().length > 1);
  expect(received().slice(0, 2)).toEqual([[], ["u", "u"]]);
  deliver({ epoch: "another", version: 1, timeMs: Date.now(), changes: [] });
  await waitFor(() => received().length > 2);
  expect(received().slice(2)).toEqual([["u", "u"]]);
});

test("a change during the read of the floors is in the snapshot or after it, and nothing is sent twice", async () => {
  const engine = createMemoryEngine({ logger });
  const { eventId, channelIds } = await makeEvent(engine, ["u"], 2);
  const [before, after] = channelIds as [string, string];
  const slow: Engine = {
    ...engine,
    async readFloors(id, wanted) {
      await take(engine, before, "u");
      const picture = await engine.readFloors(id, wanted);
      await take(engine, after, "u");
      await new Promise(setImmediate);
      return picture;
    },
  };
  const { speakers, watcher, received } = await watch(slow, eventId);
  watcher.add(speakers);
  await waitFor(() => received().length > 0);
  expect(speakers.listSpeakers().map(({ channelId }) => channelId)).toEqual([before, after]);
  expect(received()).toEqual([["u", "u"]]);
});

test("floors that cannot be read are read again", async () => {
  const engine = createMemoryEngine({ logger });
  const { eventId, channelId } = await makeEvent(engine, ["u"]);
  let failures = 0;
  const failing: Engine = {
    ...engine,
    readFloors: (id, wanted) => (failures-- > 0 ? Promise.reject(new Error("not now")) : engine.readFloors(id, wanted)),
  };
  const { speakers, watcher, received } = await watch(failing, eventId);
  watcher.add(speakers);
  failures = 2;
  speakers.doubt();
  expect(await press(engine, channelId, "u")).toMatchObject({ granted: true });
  await waitFor(() => received().length > 1);
  expect(received()[1]).toEqual(["u"]);
});
