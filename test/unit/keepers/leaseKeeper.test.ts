import { expect, test } from "vitest";
import { SquelchError } from "../../../src/domain/errors.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import { createMemoryEngine } from "../../../src/engine/memory/engine.js";
import { createLogger } from "../../../src/lib/logger.js";
import { Hub } from "../../../src/server/feed/hub.js";
import { LeaseKeeper } from "../../../src/server/keepers/leaseKeeper.js";
import { makeEvent, take } from "../../contract/fixtures.js";
import { readRevocations } from "../../contract/floor/leaseContract.js";
import { waitFor } from "../../support/waitFor.js";

const logger = createLogger("test", "silent");

/** An engine that counts the calls of endLeases, and fails a given number of times. */
function makeEngine() {
  const engine = createMemoryEngine({ logger });
  const asked = { count: 0, failures: 0 };
  const counting: Engine = {
    ...engine,
    async endLeases(eventId, channelIds) {
      asked.count += 1;
      if (asked.failures-- > 0) throw new SquelchError("unavailable", "not now");
      return engine.endLeases(eventId, channelIds);
    },
  };
  return { engine: counting, asked };
}

test("an end that cannot be announced is tried again", async () => {
  const { engine, asked } = makeEngine();
  const { eventId, channelId } = await makeEvent(engine, ["u"]);
  const watch = new LeaseKeeper(eventId, engine, logger);
  await watch.open();
  await take(engine, channelId, "u", { leaseTimeMs: 50 });
  asked.failures = 2;
  await waitFor(() => watch.isBusy);
  await waitFor(() => !watch.isBusy);
  expect(await readRevocations(engine, eventId)).toMatchObject([{ channelId, userId: "u", cause: "other" }]);
  watch.close();
});

test("a renewed lease costs one check at its earlier end, a released lease costs none", async () => {
  const { engine, asked } = makeEngine();
  const { eventId, channelIds } = await makeEvent(engine, ["u"], 2);
  const [renewed, released] = channelIds as [string, string];
  const watch = new LeaseKeeper(eventId, engine, logger);
  await watch.open();
  expect(asked.count).toBe(1);
  const short = await take(engine, released, "u", { leaseTimeMs: 200 });
  const long = await take(engine, renewed, "u", { talkTimeMs: 1_000, leaseTimeMs: 600 });
  await engine.stopPtt(released, { leaseId: short.leaseId });
  await waitFor(async () => (await engine.renewPtt(renewed, long.leaseId)) === long.talkUntilMs);
  await waitFor(() => !watch.isBusy);
  expect(asked.count).toBe(3);
  expect(await readRevocations(engine, eventId)).toMatchObject([{ channelId: renewed, cause: "talkedTooLong" }]);
  watch.close();
});

test("leases that were granted before are found, and again after messages may have been missed", async () => {
  const { engine } = makeEngine();
  const { eventId, channelIds } = await makeEvent(engine, ["u"], 2);
  const [before, missed] = channelIds as [string, string];
  await take(engine, before, "u", { leaseTimeMs: 100 });
  const deaf = new LeaseKeeper(eventId, { ...engine, followFloor: async () => () => undefined }, logger);
  await deaf.open();
  await waitFor(() => !deaf.isBusy);
  await take(engine, missed, "u", { leaseTimeMs: 100 });
  expect(deaf.isBusy).toBe(false);
  deaf.doubt();
  await deaf.synchronise();
  await waitFor(() => !deaf.isBusy);
  const ends = (await readRevocations(engine, eventId)).map(({ channelId }) => channelId);
  expect(ends).toEqual([before, missed]);
  deaf.close();
});

test("an event in which a lease runs stays loaded until it has ended", async () => {
  const { engine } = makeEngine();
  const { eventId, channelId } = await makeEvent(engine, ["u"]);
  const hub = new Hub(engine, logger, undefined, 20);
  await take(engine, channelId, "u", { leaseTimeMs: 300 });
  await hub.keepWhileBusy(eventId);
  await waitFor(async () => (await engine.readPosition(eventId))?.revision === 2, { message: "the end of the lease" });
  hub.close();
});

test("a watch that is closed while it opens follows nothing", async () => {
  const { engine } = makeEngine();
  let following = 0;
  const counted: Engine = {
    ...engine,
    async followFloor() {
      following += 1;
      return () => void following--;
    },
  };
  const watch = new LeaseKeeper("e", counted, logger);
  const opened = watch.open();
  watch.close();
  await opened;
  expect(following).toBe(0);
});

test("an event with running leases that cannot be loaded is loaded later, so that their ends are announced", async () => {
  const { engine, asked } = makeEngine();
  const { eventId, channelId } = await makeEvent(engine, ["u"]);
  const hub = new Hub(engine, logger);
  await take(engine, channelId, "u", { leaseTimeMs: 30_000 });
  asked.failures = 1;
  await hub.keepWhileBusy(eventId);
  expect(hub.loadedEvents).toBe(0);
  await waitFor(() => hub.loadedEvents === 1, { timeoutMs: 5_000 });
  hub.close();
});
