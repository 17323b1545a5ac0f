import { expect, test } from "vitest";
import type { AuditRecord } from "../../../src/domain/audit.js";
import { freshId, type GetEngine } from "../fixtures.js";

const record = (eventId: string, target: string): AuditRecord => ({
  timeMs: 1_769_860_805_120,
  actor: "cli:anna",
  action: "PauseAllSpeakers",
  eventId,
  target,
  outcome: "OK",
  callId: freshId("request"),
  detail: "Storm",
});

/** Tests that an engine stores the audit trail. */
export function describeAudit(getEngine: GetEngine): void {
  test("entries are returned unchanged, the newest first", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    const records = ["a", "b", "c"].map((target) => record(eventId, target));
    await engine.appendAudit(records.slice(0, 1));
    await engine.appendAudit(records.slice(1));
    const entries = await engine.listAudit({ eventIds: [eventId], limit: 10 });
    expect(entries.map(({ entryId: _, ...rest }) => rest)).toEqual([...records].reverse());
    expect(new Set(entries.map(({ entryId }) => entryId)).size).toBe(3);
    expect((await engine.listAudit({ limit: 2 })).map(({ target }) => target)).toEqual(["c", "b"]);
  });

  test("they are read page by page", async () => {
    const engine = getEngine();
    const eventId = freshId("event");
    await engine.appendAudit(["a", "b", "c", "d", "e"].map((target) => record(eventId, target)));
    const seen: string[] = [];
    let before: string | undefined;
    for (;;) {
      const page = await engine.listAudit({ eventIds: [eventId], limit: 2, before });
      if (page.length === 0) break;
      seen.push(...page.map(({ target }) => target));
      before = page.at(-1)?.entryId;
    }
    expect(seen).toEqual(["e", "d", "c", "b", "a"]);
  });

  test("G7: a request for some events leaves out the entries of all others", async () => {
    const engine = getEngine();
    const [mine, other] = [freshId("event"), freshId("event")];
    await engine.appendAudit([record(mine, "first")]);
    await engine.appendAudit(Array.from({ length: 1_500 }, () => record(other, "noise")));
    await engine.appendAudit([record("", "fleet"), record(mine, "last")]);
    const entries = await engine.listAudit({ eventIds: [mine], limit: 10 });
    expect(entries.map(({ target }) => target)).toEqual(["last", "first"]);
    expect(await engine.listAudit({ eventIds: [], limit: 10 })).toEqual([]);
    expect(await engine.listAudit({ eventIds: [freshId("event")], limit: 10 })).toEqual([]);
  });
}
