import { expect, test } from "vitest";
import type { RouterNews } from "../../../src/domain/applied.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import { assign, collect, freshId, type GetEngine } from "../fixtures.js";

/** An event whose log ends at revision 3, and positions in it. */
async function makeLog(engine: Engine) {
  const eventId = freshId("event");
  for (const user of ["a", "b", "c"]) await assign(engine, eventId, user, [freshId("channel")]);
  const { epoch, revision } = await engine.loadEvent(eventId);
  expect(revision).toBe(3);
  const report = (routerId: string, at: number, inEpoch = epoch) =>
    engine.reportApplied(routerId, [{ eventId, epoch: inEpoch, revision: at }]);
  const revisions = async () => {
    const { routers } = await engine.readRouters(eventId);
    return Object.fromEntries(routers.map(({ routerId, position }) => [routerId, position?.revision]));
  };
  return { eventId, epoch, report, revisions };
}

/** Tests that an engine stores routers and the changes that they have applied. */
export function describeApplied(getEngine: GetEngine): void {
  test("no router is expected before one is connected", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    expect(await engine.readRouters(eventId)).toMatchObject({ routers: [] });
    const { epoch } = await engine.loadEvent(eventId);
    await engine.holdRouter("r1", [eventId]);
    const { position, routers, nowMs } = await engine.readRouters(eventId);
    expect(position).toEqual({ epoch, revision: 0 });
    expect(routers).toMatchObject([{ routerId: "r1" }]);
    expect(routers[0]?.position, "it has not reported").toBeUndefined();
    expect(nowMs - (routers[0]?.seenMs ?? 0)).toBeLessThan(5_000);
    expect(nowMs - (routers[0]?.heldMs ?? 0)).toBeLessThan(5_000);
  });

  test("a report stores the progress of a router; a late report does not set it back", async () => {
    const engine = getEngine();
    const { eventId, epoch, report, revisions } = await makeLog(engine);
    await engine.holdRouter("r1", [eventId]);
    await report("r1", 1);
    await report("r1", 3);
    const [after] = (await engine.readRouters(eventId)).routers;
    expect(after).toMatchObject({ routerId: "r1", position: { epoch, revision: 3 } });
    await report("r1", 2);
    await report("r1", 3);
    const [again] = (await engine.readRouters(eventId)).routers;
    expect(again).toMatchObject({ position: { epoch, revision: 3 }, appliedMs: after?.appliedMs });
    await engine.holdRouter("r1", [eventId]);
    expect(await revisions(), "another signal of an open watch does not change the applied revision").toEqual({
      r1: 3,
    });
  });

  test("a report of a router that was forgotten brings it back", async () => {
    const { report, revisions } = await makeLog(getEngine());
    await report("r1", 2);
    expect(await revisions()).toEqual({ r1: 2 });
  });

  test("a position of another epoch, or ahead of the log, only shows that the router is alive", async () => {
    const { report, revisions } = await makeLog(getEngine());
    await report("r1", 1, "another");
    await report("r2", 4);
    expect(await revisions()).toEqual({ r1: undefined, r2: undefined });
    await report("r1", 2);
    await report("r1", 3, "another");
    expect(await revisions()).toEqual({ r1: 2, r2: undefined });
  });

  test("a report of an event without a log leaves nothing behind", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    await engine.reportApplied("r1", [{ eventId, epoch: "e", revision: 0 }]);
    expect(await engine.readRouters(eventId)).toMatchObject({ routers: [] });
    expect(await engine.readPosition(eventId)).toBeUndefined();
  });

  test("G7: a report about one event changes no other event", async () => {
    const engine = getEngine();
    const [here, there] = [await makeLog(engine), await makeLog(engine)];
    await engine.holdRouter("r1", [here.eventId, there.eventId]);
    await here.report("r1", 3);
    expect(await there.revisions()).toEqual({ r1: undefined });
    await engine.releaseRouter("r1", [here.eventId]);
    expect(await here.revisions()).toEqual({});
    expect(await there.revisions()).toEqual({ r1: undefined });
  });

  test("one call reports many events", async () => {
    const engine = getEngine();
    const events = await Promise.all(Array.from({ length: 50 }, () => makeLog(engine)));
    await engine.reportApplied(
      "r1",
      events.map(({ eventId, epoch }) => ({ eventId, epoch, revision: 3 })),
    );
    for (const { revisions } of events) expect(await revisions()).toEqual({ r1: 3 });
    await engine.releaseRouter(
      "r1",
      events.map(({ eventId }) => eventId),
    );
    for (const { revisions } of events) expect(await revisions()).toEqual({});
  });

  test("followers receive new routers, progress and departures in order, and nothing else", async () => {
    const engine = getEngine();
    const { eventId, epoch, report } = await makeLog(engine);
    const other = await makeLog(engine);
    const received = collect<RouterNews>();
    const unfollow = await engine.followRouters(eventId, received.listener);
    await engine.holdRouter("r1", [eventId]);
    await engine.holdRouter("r1", [eventId]);
    await other.report("r1", 3);
    await report("r1", 2);
    await report("r1", 1);
    await report("r1", 2);
    await report("r1", 3);
    await engine.releaseRouter("r1", [eventId]);
    await engine.releaseRouter("r1", [eventId]);
    await received.until(4);
    unfollow();
    await report("r2", 3);
    expect(received.seen).toMatchObject([
      { routerId: "r1" },
      { routerId: "r1", position: { epoch, revision: 2 } },
      { routerId: "r1", position: { epoch, revision: 3 } },
      { routerId: "r1", isGone: true },
    ]);
    expect(received.seen).toHaveLength(4);
  });
}
