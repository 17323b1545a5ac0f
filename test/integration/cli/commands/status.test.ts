import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { cursor, fakeCommandLine, pause, pauseLine, untilCancelled } from "../../../support/fakes/fakeCommandLine.js";
import { FakeFailure } from "../../../support/fakes/fakeService.js";
import { jsonLines } from "../../../support/runCli.js";

describe("squelch status", () => {
  const replica = (feedHealthy: boolean) =>
    fakeCommandLine({
      watchPermissions: async function* (_request, cancelled) {
        yield { payload: { case: "snapshot", value: { eventId: "e1", cursor, complete: true, pause } } };
        yield { payload: { case: "snapshot", value: { eventId: "e2", cursor, complete: true } } };
        const cursors = [cursor, { ...cursor, eventId: "e2" }];
        yield { payload: { case: "checkpoint", value: { cursors, feedHealthy, feedAge: { nanos: 400_000_000 } } } };
        yield* untilCancelled(cancelled);
      },
    });

  it("shows a healthy replica", async () => {
    const { run, address } = await replica(true);
    expect(await run("status")).toEqual({
      exitCode: 0,
      stdout: [
        `replica  ${address}, answers`,
        "feed     healthy, proven 0.4 s ago",
        "events   2",
        "pauses   1",
        `  e1: ${pauseLine}`,
        "",
      ].join("\n"),
      stderr: "",
    });
    expect(jsonLines(await run("status", "--json"))).toMatchObject([
      { address, feedHealthy: true, feedAgeMs: 400, events: 2, pauses: [{ eventId: "e1", pause: { pauseId: "p1" } }] },
    ]);
  });

  it("with --fleet shows every replica, and the progress of each router; fails if a replica is unhealthy", async () => {
    const at = (ms: number) => ({ seconds: 1_700_000_000n, nanos: ms * 1_000_000 });
    const fleet = (feedHealthy: boolean) => ({
      time: at(900),
      replicas: [
        {
          replicaId: "r-1",
          grpcAddress: "127.0.0.1:1",
          feedHealthy: true,
          watches: 2,
          loadedEvents: 3,
          lastSeen: at(400),
        },
        { replicaId: "r-2", grpcAddress: "127.0.0.1:2", feedHealthy, watches: 0, loadedEvents: 0, lastSeen: at(0) },
      ],
      routers: [
        { routerId: "east", replicaIds: ["r-1"], events: 2, lastSeen: at(800) },
        {
          routerId: "west",
          events: 2,
          lastSeen: at(0),
          behind: [
            { eventId: "e1", revisions: 1n, age: { seconds: 1n } },
            { eventId: "e2", revisions: 3n, age: { seconds: 9n } },
          ],
        },
      ],
    });
    const start = (feedHealthy: boolean) =>
      fakeCommandLine({
        getFleetStatus: () => fleet(feedHealthy),
        watchPermissions: async function* (_request, cancelled) {
          yield { payload: { case: "checkpoint", value: { feedHealthy: true } } };
          yield* untilCancelled(cancelled);
        },
      });
    const well = await start(true);
    const { exitCode, stdout } = await well.run("status", "--fleet");
    expect(exitCode).toBe(0);
    expect(stdout.split("\n").slice(-7)).toEqual([
      "REPLICA  GRPC         FEED     WATCHES  EVENTS  REPORTED",
      "r-1      127.0.0.1:1  healthy  2        3       0.5 s ago",
      "r-2      127.0.0.1:2  healthy  0        0       0.9 s ago",
      "ROUTER  CONNECTED  EVENTS  BEHIND IN  MOST BEHIND                  REPORTED",
      "east    r-1        2       0          -                            0.1 s ago",
      "west    no         2       2          e2: 3 unconfirmed for 9.0 s  0.9 s ago",
      "",
    ]);
    expect(jsonLines(await well.run("status", "--fleet", "--json"))).toMatchObject([
      { fleet: { replicas: [{ replicaId: "r-1" }, {}], routers: [{}, { behind: [{ revisions: "1" }, {}] }] } },
    ]);
    const sick = await start(false);
    expect(await sick.run("status", "--fleet")).toMatchObject({
      exitCode: 1,
      stderr: "squelch: changes do not reach r-2; check the log of the replica and Redis\n",
    });
  });

  it("with --reconcile requests a comparison of the memberships first, and prints its result", async () => {
    const counts = { comparedUsers: 1_200, changedUsers: 3, ambiguousUsers: 0 };
    const { run, calls } = await fakeCommandLine({
      reconcileMemberships: () => ({ generation: 1_700_000_000_000n, ...counts }),
      watchPermissions: async function* (_request, cancelled) {
        yield { payload: { case: "checkpoint", value: { feedHealthy: true } } };
        yield* untilCancelled(cancelled);
      },
    });
    expect((await run("status", "--reconcile")).stdout).toContain(
      "compared 1200 users with the control plane's keys: 3 changed, 0 unchanged because the keys give no clear answer\n",
    );
    expect(calls.map(({ method }) => method)).toEqual(["reconcileMemberships", "watchPermissions"]);
    expect(jsonLines(await run("status", "--reconcile", "--json"))).toMatchObject([
      { reconciled: { generation: "1700000000000", ...counts } },
    ]);
  });

  it("with --reconcile fails if there is nothing to compare with", async () => {
    const { run, calls } = await fakeCommandLine({
      reconcileMemberships: () => {
        throw new FakeFailure(status.FAILED_PRECONDITION, "there is nothing to compare");
      },
    });
    expect(await run("status", "--reconcile")).toMatchObject({
      exitCode: 1,
      stdout: "",
      stderr: expect.stringContaining("there is nothing to compare"),
    });
    expect(calls).toHaveLength(1);
  });

  it("fails if the feed is not healthy, after it has shown what it knows", async () => {
    const { run, address } = await replica(false);
    const { exitCode, stdout, stderr } = await run("status");
    expect(exitCode).toBe(1);
    expect(stdout).toContain("not healthy");
    expect(stderr).toBe(`squelch: changes do not reach ${address}, it serves its last data; check its log and Redis\n`);
  });
});
