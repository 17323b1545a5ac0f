import { describe, expect, it } from "vitest";
import { ROUTER_SILENCE_MS, type RouterProgress } from "../../../src/domain/applied.js";
import { RouterTable } from "../../../src/domain/routerTable.js";

const NOW = 1_000_000;
const router = (routerId: string, revision?: number, more: Partial<RouterProgress> = {}): RouterProgress => ({
  routerId,
  position: revision === undefined ? undefined : { epoch: "x", revision },
  seenMs: NOW,
  ...more,
});
const ids = (routers: readonly RouterProgress[]) => routers.map(({ routerId }) => routerId);

function tableOf(...routers: RouterProgress[]): RouterTable {
  const table = new RouterTable({ epoch: "x", revision: 5 });
  table.replace(routers, NOW);
  return table;
}

describe("RouterTable", () => {
  it("distinguishes routers that have applied the change from those that have not", () => {
    const table = tableOf(router("c", 5), router("a", 6), router("b", 4), router("d"));
    expect([ids(table.applied), ids(table.missing)]).toEqual([
      ["a", "c"],
      ["b", "d"],
    ]);
    expect(table.isAppliedEverywhere).toBe(false);
    expect(tableOf().isAppliedEverywhere, "no router is missing").toBe(true);
  });

  it("ignores a report of another epoch", () => {
    const table = tableOf(router("a", 9, { position: { epoch: "old", revision: 9 } }));
    expect(ids(table.missing)).toEqual(["a"]);
  });

  it("expects only routers that reported or watched within a minute", () => {
    const longAgo = NOW - ROUTER_SILENCE_MS;
    const table = tableOf(
      router("silent", 4, { seenMs: longAgo }),
      router("gone", 4, { seenMs: longAgo - 1, heldMs: longAgo }),
      router("held", 4, { seenMs: longAgo - 1, heldMs: longAgo + 7 }),
      router("fresh", 4, { seenMs: NOW - 1, heldMs: longAgo }),
    );
    expect(ids(table.missing)).toEqual(["fresh", "held"]);
    expect(table.nextDropMs).toBe(NOW + 7);
  });

  it("applies each new report, and never sets a router back", () => {
    const table = tableOf(router("a", 4), router("b", 5));
    table.take(router("b", 4));
    table.take(router("b"));
    expect(ids(table.applied)).toEqual(["b"]);
    table.take(router("new"));
    expect(ids(table.missing)).toEqual(["a", "new"]);
    table.take(router("a", 5));
    table.take({ routerId: "new", isGone: true });
    expect(table.isAppliedEverywhere).toBe(true);
    expect(ids(table.applied)).toEqual(["a", "b"]);
  });
});
