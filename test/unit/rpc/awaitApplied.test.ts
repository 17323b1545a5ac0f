import { beforeEach, describe, expect, it } from "vitest";
import { ROUTER_SILENCE_MS, type RouterNews } from "../../../src/domain/applied.js";
import { SquelchError } from "../../../src/domain/errors.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import { createMemoryEngine } from "../../../src/engine/memory/engine.js";
import { createLogger } from "../../../src/lib/logger.js";
import { awaitApplied } from "../../../src/server/rpc/calls/awaitApplied.js";
import { waitFor } from "../../support/waitFor.js";

const E = "e1";
const idle = new AbortController().signal;
const soon = (ms: number) => performance.now() + ms;

let engine: Engine;
let epoch: string;
/** Added to the engine's clock. */
let shiftMs: number;

beforeEach(async () => {
  shiftMs = 0;
  engine = createMemoryEngine({ now: () => Date.now() + shiftMs, logger: createLogger("test", "silent") });
  for (const channelIds of [["a"], ["b"], ["c"]]) await change(channelIds);
  ({ epoch } = await engine.loadEvent(E));
});

const change = (channelIds: string[]) =>
  engine.setUserChannels({ eventId: E, userId: "u", channelIds, action: "a", actor: "t", onlyIfUnknown: false });
const report = (routerId: string, revision: number) =>
  engine.reportApplied(routerId, [{ eventId: E, epoch, revision }]);

/** Waits for revision 3 and returns the names of the routers that have applied it and of those that have not. */
async function wait(timeoutMs: number, on: Engine = engine, revision = 3): Promise<string[][]> {
  const { applied, missing } = await awaitApplied(
    on,
    { eventId: E, revision, epoch: undefined },
    soon(timeoutMs),
    idle,
  );
  return [applied, missing].map((routers) => routers.map(({ routerId }) => routerId));
}

/** The engine with some of its methods replaced, and how often its routers were read. */
function changed(replaced: Partial<Engine>) {
  const reads = { count: 0 };
  const readRouters: Engine["readRouters"] = (eventId) => {
    reads.count++;
    return engine.readRouters(eventId);
  };
  return { reads, engine: { ...engine, readRouters, ...replaced } };
}

describe("awaitApplied", () => {
  it("answers at once if there is no router, or all have applied it", async () => {
    expect(await wait(10_000)).toEqual([[], []]);
    await report("r2", 3);
    await report("r1", 3);
    expect(await wait(10_000)).toEqual([["r1", "r2"], []]);
  });

  it("answers as soon as the last router has applied it, without reading the store again", async () => {
    await engine.holdRouter("r1", [E]);
    await engine.holdRouter("r2", [E]);
    const { reads, engine: counted } = changed({});
    const answer = wait(10_000, counted);
    for (const [router, revision] of [
      ["r1", 2],
      ["r2", 3],
      ["r1", 3],
    ] as const)
      await report(router, revision);
    expect(await answer).toEqual([["r1", "r2"], []]);
    expect(reads.count).toBe(1);
  });

  it("names the missing routers when the time is up, after a last read", async () => {
    await report("r1", 3);
    await engine.holdRouter("r2", [E]);
    const { reads, engine: counted } = changed({ followRouters: async () => () => undefined });
    const answer = wait(1_000, counted);
    await report("r2", 2);
    await report("r3", 3);
    expect(await answer).toEqual([["r1", "r3"], ["r2"]]);
    expect(reads.count).toBe(2);
    expect(await wait(0), "a wait of 0 is a look").toEqual([["r1", "r3"], ["r2"]]);
  });

  it("a router that has sent a farewell is no longer waited for; a new router is", async () => {
    await engine.holdRouter("r1", [E]);
    const answer = wait(10_000);
    await engine.holdRouter("r2", [E]);
    await engine.releaseRouter("r1", [E]);
    await report("r2", 3);
    expect(await answer).toEqual([["r2"], []]);
  });

  it("a router that has vanished counts as missing until it was silent for a minute", async () => {
    shiftMs = -ROUTER_SILENCE_MS + 200;
    await engine.holdRouter("dead", [E]);
    shiftMs = 0;
    await report("r1", 3);
    expect(await wait(0)).toEqual([["r1"], ["dead"]]);
    const startedMs = performance.now();
    expect(await wait(10_000)).toEqual([["r1"], []]);
    expect(performance.now() - startedMs).toBeLessThan(5_000);
  });

  it("includes reports that arrive while the store is read", async () => {
    await engine.holdRouter("r1", [E]);
    await engine.holdRouter("r2", [E]);
    let notify: (news: RouterNews) => void = () => undefined;
    const { reads, engine: racing } = changed({
      followRouters: async (_eventId, listener) => {
        notify = listener;
        return () => undefined;
      },
    });
    const { readRouters } = racing;
    racing.readRouters = async (eventId) => {
      const old = await readRouters(eventId);
      if (reads.count > 1) return old;
      await report("r1", 3);
      notify({ routerId: "r1", position: { epoch, revision: 3 }, seenMs: Date.now() });
      await engine.releaseRouter("r2", [E]);
      notify({ routerId: "r2", isGone: true });
      return old;
    };
    expect(await wait(10_000, racing)).toEqual([["r1"], []]);
    expect(reads.count).toBe(2);
  });

  it("reads again when reports may have been missed", async () => {
    await engine.holdRouter("r1", [E]);
    let restore: () => void = () => undefined;
    const { reads, engine: interrupted } = changed({
      followRouters: async () => () => undefined,
      onFeedRestored: (listener) => {
        restore = listener;
        return () => undefined;
      },
    });
    const answer = wait(10_000, interrupted);
    await report("r1", 3);
    restore();
    expect(await answer).toEqual([["r1"], []]);
    expect(reads.count).toBe(2);
  });

  it("G9: a revision that the log does not have is a failure, and no router counts as late", async () => {
    const failure = { code: "failedPrecondition", message: expect.stringMatching(/^revision: the log of "e1"/) };
    await expect(wait(0, engine, 4)).rejects.toMatchObject(failure);
    const otherEpoch = { eventId: E, revision: 1, epoch: "another" };
    await expect(awaitApplied(engine, otherEpoch, soon(0), idle)).rejects.toMatchObject(failure);
    const unknown = { eventId: "no write produced it", revision: 1, epoch: undefined };
    await expect(awaitApplied(engine, unknown, soon(0), idle)).rejects.toMatchObject({ code: "failedPrecondition" });
  });

  it("G9: a new epoch of the log ends the wait, because the change may be lost", async () => {
    await engine.holdRouter("r1", [E]);
    const { reads, engine: reset } = changed({});
    const { readRouters } = reset;
    reset.readRouters = async (eventId) => {
      const found = await readRouters(eventId);
      return reads.count > 1 ? { ...found, position: { epoch: "new", revision: 9 } } : found;
    };
    let notify: (news: RouterNews) => void = () => undefined;
    reset.followRouters = async (_eventId, listener) => {
      notify = listener;
      return () => undefined;
    };
    const answer = wait(10_000, reset);
    await waitFor(() => reads.count === 1);
    notify({ routerId: "r1", position: { epoch: "new", revision: 9 }, seenMs: Date.now() });
    await expect(answer).rejects.toMatchObject({ code: "failedPrecondition" });
  });

  it("G9: fails with unavailable if the store cannot be read", async () => {
    const gone = new SquelchError("unavailable", "gone");
    const { engine: away } = changed({ readRouters: () => Promise.reject(gone) });
    await expect(wait(10_000, away)).rejects.toBe(gone);
    const { engine: deaf } = changed({ followRouters: () => Promise.reject(gone) });
    await expect(wait(10_000, deaf)).rejects.toBe(gone);
  });

  it("ends when no caller waits for the answer any more, and leaves nothing behind", async () => {
    await engine.holdRouter("r1", [E]);
    let followers = 0;
    const { engine: counted } = changed({
      followRouters: async () => {
        followers++;
        return () => followers--;
      },
    });
    const waiting = new AbortController();
    const answer = awaitApplied(counted, { eventId: E, revision: 3, epoch }, soon(60_000), waiting.signal);
    const reason = new SquelchError("unavailable", "the replica is shutting down");
    waiting.abort(reason);
    await expect(answer).rejects.toBe(reason);
    expect(followers).toBe(0);
  });

  it("returns the time of the change, as long as the log has it", async () => {
    const [entry] = (await engine.readLog(E, { epoch, revision: 2 }, 1)) ?? [];
    const { changedMs, position } = await awaitApplied(engine, { eventId: E, revision: 3, epoch }, soon(0), idle);
    expect([changedMs, position]).toEqual([entry?.timeMs, { epoch, revision: 3 }]);
    const first = await awaitApplied(engine, { eventId: E, revision: 0, epoch }, soon(0), idle);
    expect(first.changedMs).toBeUndefined();
  });
});
