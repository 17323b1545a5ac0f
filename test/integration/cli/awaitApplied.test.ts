import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { AppliedOutcome } from "../../../gen/squelch/v1/fleet_service_pb.js";
import { fakeCommandLine } from "../../support/fakes/fakeCommandLine.js";
import { FakeFailure } from "../../support/fakes/fakeService.js";
import { jsonLines } from "../../support/runCli.js";

const cursor = (revision: bigint, epoch = "x") => ({ eventId: "e1", epoch, revision });
const lastSeen = timestampFromDate(new Date(Date.UTC(2026, 0, 31, 12, 0, 5)));
const applied = (routerId: string, afterMs?: number) => ({
  ...{ routerId, cursor: cursor(8n), lastSeen },
  ...(afterMs !== undefined && { appliedAfter: durationFromMs(afterMs) }),
});

/** A fake replica on which every call makes revision 8, with its answers to a wait for that revision. */
function fake(awaitApplied: NonNullable<Parameters<typeof fakeCommandLine>[0]["awaitApplied"]>) {
  return fakeCommandLine({
    getUserPermissions: () => ({}),
    setUserChannels: () => ({ revision: 8n, epoch: "e", removed: ["stage"] }),
    pauseAllSpeakers: () => ({ revision: 8n, epoch: "e" }),
    disconnectUser: () => ({ revision: 8n, epoch: "e" }),
    banUser: () => ({ revision: 8n, epoch: "e" }),
    awaitApplied,
  });
}

const everywhere = () => ({
  ...{ cursor: cursor(8n), outcome: AppliedOutcome.ALL },
  applied: [applied("r1", 4), applied("r2", 9)],
});
const nowhereElse = () => ({
  cursor: cursor(8n),
  outcome: AppliedOutcome.SOME_MISSING,
  applied: [applied("r1", 4)],
  missing: [
    { routerId: "r2", cursor: cursor(7n), lastSeen },
    { routerId: "r3", cursor: cursor(99n, "old"), lastSeen },
    { routerId: "r4", lastSeen },
  ],
});

describe("--wait", () => {
  it("prints how soon a change was applied on every router", async () => {
    const { run, calls } = await fake(everywhere);
    expect(await run("pause", "e1", "--wait")).toEqual({
      exitCode: 0,
      stdout: "nobody was speaking in e1\napplied on 2 of 2 routers after 9 ms\n",
      stderr: "",
    });
    expect((await run("assign", "e1", "anna", "--wait", "2s")).stdout).toMatch(
      /\ne1 .*\napplied on 2 of 2 routers after 9 ms\n$/,
    );
    expect(calls.filter(({ method }) => method === "awaitApplied").map(({ request }) => request)).toMatchObject([
      { eventId: "e1", revision: 8n, epoch: "e", timeout: { seconds: 5n } },
      { eventId: "e1", revision: 8n, epoch: "e", timeout: { seconds: 2n } },
    ]);
  });

  it.each(["disconnect", "ban"])("prints this for %s", async (command) => {
    const { run, calls } = await fake(everywhere);
    const { exitCode, stdout } = await run(command, "e1", "anna", "--wait");
    expect([exitCode, stdout.trim().split("\n").at(-1)]).toEqual([0, "applied on 2 of 2 routers after 9 ms"]);
    expect(calls.at(-1)).toMatchObject({ method: "awaitApplied", request: { eventId: "e1", revision: 8n } });
    const { run: runInVain } = await fake(nowhereElse);
    expect(await runInVain(command, "e1", "anna", "--wait")).toMatchObject({ exitCode: 1 });
  });

  it("waits only if the option is given", async () => {
    const { run, calls } = await fake(nowhereElse);
    expect((await run("pause", "e1")).exitCode).toBe(0);
    expect(calls.map(({ method }) => method)).toEqual(["pauseAllSpeakers"]);
  });

  it("lists the missing routers with their positions and the time of their last report, and fails", async () => {
    const { run } = await fake(nowhereElse);
    const { exitCode, stdout, stderr } = await run("pause", "e1", "--wait");
    expect(stdout.split("\n").slice(1)).toEqual([
      "applied on 1 of 4 routers after 4 ms",
      "MISSING  APPLIED UP TO     LAST SEEN",
      "r2       revision 7 of 8   2026-01-31T12:00:05Z",
      "r3       an earlier epoch  2026-01-31T12:00:05Z",
      "r4       never reported    2026-01-31T12:00:05Z",
      "",
    ]);
    expect([exitCode, stderr]).toEqual([
      1,
      "squelch: revision 8 of e1 is not known to be applied on r2, r3, r4; " +
        "check them: their clients may still act on the earlier state\n",
    ]);
  });

  it("prints that there is no router", async () => {
    const { run } = await fake(() => ({ cursor: cursor(8n), outcome: AppliedOutcome.NO_ROUTERS }));
    const { exitCode, stdout } = await run("pause", "e1", "--wait", "0");
    expect([exitCode, stdout.split("\n")[1]]).toEqual([
      0,
      "no router watches the event, so no router has confirmed the change",
    ]);
  });

  it("leaves out the time if it is not known for every router", async () => {
    const { run } = await fake(() => ({ ...everywhere(), applied: [applied("r1", 4), applied("r2")] }));
    expect((await run("pause", "e1", "--wait")).stdout).toMatch(/\napplied on 2 of 2 routers\n$/);
  });

  it("gives both responses as JSON", async () => {
    const { run } = await fake(everywhere);
    expect(jsonLines(await run("assign", "e1", "anna", "--wait", "--json"))).toMatchObject([
      { revision: "8", removed: ["stage"] },
      {
        outcome: "APPLIED_OUTCOME_ALL",
        applied: [{ routerId: "r1", appliedAfter: "0.004s" }, { routerId: "r2" }],
        missing: [],
      },
    ]);
    const { run: runInVain } = await fake(nowhereElse);
    const { exitCode, stdout } = await runInVain("assign", "e1", "anna", "--wait", "--json");
    const last = stdout.trim().split("\n").at(-1) ?? "";
    expect([exitCode, JSON.parse(last).missing.length]).toEqual([1, 3]);
  });

  it("prints that the change was made if it cannot find out where it is in force", async () => {
    const { run, address } = await fake(() => {
      throw new FakeFailure(status.UNAVAILABLE, "Redis cannot be reached; try again", "STORE_UNAVAILABLE");
    });
    const { exitCode, stderr } = await run("pause", "e1", "--wait");
    expect([exitCode, stderr]).toEqual([
      1,
      `squelch: it is done, but whether the routers have applied it is not known: ${address} is unavailable: ` +
        "Redis cannot be reached; try again\n",
    ]);
  });

  it.each([["61s"], ["soon"], ["stage"]])("refuses to wait for %s before anything is changed", async (time) => {
    const { run, calls } = await fake(everywhere);
    const { exitCode, stderr } = await run("assign", "e1", "anna", "--wait", time);
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining("--wait")]);
    expect(calls).toEqual([]);
  });
});
