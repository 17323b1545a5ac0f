import { expect, test } from "vitest";
import { SquelchError } from "../../../src/domain/errors.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import { createMemoryEngine } from "../../../src/engine/memory/engine.js";
import { createLogger } from "../../../src/lib/logger.js";
import { PauseKeeper } from "../../../src/server/keepers/pauseKeeper.js";
import { makeEvent, pause } from "../../contract/fixtures.js";
import { waitFor } from "../../support/waitFor.js";

const logger = createLogger("test", "silent");
const unavailable = () => new SquelchError("unavailable", "not now");

/** An engine that counts the calls for each event, fails a given number of times, and can report a restored feed. */
function makeEngine() {
  const engine = createMemoryEngine({ logger });
  const asked: string[] = [];
  const restore = new Set<() => void>();
  const failures = { uphold: 0, list: 0 };
  const counting: Engine = {
    ...engine,
    async upholdPause(eventId) {
      asked.push(eventId);
      if (failures.uphold-- > 0) throw unavailable();
      return engine.upholdPause(eventId);
    },
    async listPausedEvents() {
      if (failures.list-- > 0) throw unavailable();
      return engine.listPausedEvents();
    },
    onFeedRestored(listener) {
      restore.add(listener);
      return () => restore.delete(listener);
    },
  };
  const restored = () => {
    for (const listener of restore) listener();
  };
  return { engine: counting, asked, failures, restored };
}

test("a pause is upheld until it is over, also through failures, and not longer", async () => {
  const { engine, asked, failures } = makeEngine();
  const warnings: string[] = [];
  const telling = Object.assign(createLogger("test", "silent"), {
    warn: (_: unknown, message: string) => warnings.push(message),
  });
  const keeper = new PauseKeeper(engine, telling);
  const { eventId } = await makeEvent(engine, ["u"]);
  failures.uphold = 2;
  const { pause: paused } = await pause(engine, eventId);
  await waitFor(() => asked.length >= 4);
  expect(warnings, "once, however often it fails").toEqual(["pause could not be upheld, will try again"]);
  await engine.resumeSpeakers(eventId, paused.pauseId, "admin");
  await waitFor(() => !keeper.isUpholding(eventId));
  expect(new Set(asked)).toEqual(new Set([eventId]));
  const { pause: next } = await pause(engine, eventId, { durationMs: 200 });
  await waitFor(() => !keeper.isUpholding(eventId) && asked.length > 4, { message: `the end of ${next.pauseId}` });
  expect((await engine.loadEvent(eventId)).revision, "its end was published").toBe(5);
  keeper.close();
});

test("pauses from before the start or from an interruption are found when the feed is restored", async () => {
  const { engine, asked, failures, restored } = makeEngine();
  const { eventId } = await makeEvent(engine, ["u"]);
  await pause(engine, eventId);
  const keeper = new PauseKeeper(engine, logger);
  failures.list = 1;
  restored();
  await waitFor(() => asked.includes(eventId), { message: "another attempt" });
  keeper.close();
  const count = asked.length;
  restored();
  await pause(engine, (await makeEvent(engine, ["u"])).eventId);
  expect(asked.length).toBe(count);
});

test("a pause that begins while the previous one is found to be over is upheld", async () => {
  const { engine, asked } = makeEngine();
  const { eventId } = await makeEvent(engine, ["u"]);
  let answer: () => void = () => undefined;
  const slow: Engine = {
    ...engine,
    upholdPause: async (of) => {
      const stands = await engine.upholdPause(of);
      if (asked.length > 1) return stands;
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      return stands;
    },
  };
  const keeper = new PauseKeeper(slow, logger);
  keeper.uphold(eventId);
  await waitFor(() => asked.length === 1);
  await pause(engine, eventId);
  await waitFor(async () => (await engine.listPausedEvents()).length === 1);
  answer();
  await waitFor(() => asked.length > 3);
  keeper.close();
});
