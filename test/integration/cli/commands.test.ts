import { setTimeout as sleep } from "node:timers/promises";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { status } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { FloorPriority } from "../../../gen/squelch/v1/model_pb.js";
import { SnapshotReason } from "../../../gen/squelch/v1/permission_service_pb.js";
import { FakeFailure, startFakeService } from "../../support/fakes/fakeService.js";
import { jsonLines, runCli } from "../../support/runCli.js";

type FakeService = Awaited<ReturnType<typeof startFakeService>>;
const services: FakeService[] = [];

async function fake(handlers: Parameters<typeof startFakeService>[0]) {
  const service = await startFakeService(handlers);
  services.push(service);
  return {
    ...service,
    run: (...argv: string[]) => runCli(argv, { SQUELCH_ADDRESS: service.address }),
  };
}

afterEach(() => {
  for (const service of services.splice(0)) service.close();
});

const at = (seconds: number) => timestampFromDate(new Date(Date.UTC(2026, 0, 31, 12, 0, seconds)));
const pause = { pauseId: "p1", reason: "Fire", actor: "cli:dora", startedAt: at(0), expiresAt: at(59) };
const pauseLine = "paused until 2026-01-31T12:00:59Z by cli:dora (Fire) pause id p1";
const speaker = {
  channelId: "stage",
  userId: "anna",
  userName: "Anna",
  startedAt: at(1),
  expiresAt: at(31),
  priority: FloorPriority.NORMAL,
};
const cursor = { eventId: "e1", epoch: "x", revision: 7n };

async function* untilCancelled(cancelled: AbortSignal): AsyncGenerator<never> {
  await new Promise((resolve) => cancelled.addEventListener("abort", resolve));
}

describe("squelch permissions", () => {
  const getUserPermissions = () => ({ channelIds: ["gate", "stage"], cursor, pause, known: true });

  it("shows one user's channels and the standing pause", async () => {
    const { run, calls } = await fake({ getUserPermissions });
    expect(await run("permissions", "e1", "anna")).toEqual({
      exitCode: 0,
      stdout: ["EVENT  USER  CHANNELS     REVISION", "e1     anna  gate, stage  7", pauseLine, ""].join("\n"),
      stderr: "",
    });
    expect(calls[0]).toMatchObject({ method: "getUserPermissions", request: { eventId: "e1", userId: "anna" } });
    expect(calls[0]?.metadata.get("squelch-actor")[0]).toMatch(/^cli:[\x21-\x7e]+$/);
  });

  it("prints the response as protobuf JSON on one line, empty lists too", async () => {
    const { run } = await fake({ getUserPermissions: () => ({ cursor, known: true }) });
    expect(jsonLines(await run("permissions", "e1", "anna", "--json"))).toEqual([
      { channelIds: [], cursor: { eventId: "e1", epoch: "x", revision: "7" }, known: true },
    ]);
  });

  it("tells a user who never had an entry from one without channels", async () => {
    const { run } = await fake({ getUserPermissions: () => ({ known: false }) });
    const { exitCode, stdout } = await run("permissions", "e1", "anna");
    expect([exitCode, stdout]).toEqual([0, "nothing was ever assigned to anna in e1\n"]);
  });

  it("shows everybody without a user, from the chunks of a snapshot that may start over", async () => {
    const chunk = (chunkIndex: number, userId: string, complete: boolean) => ({
      payload: {
        case: "snapshot" as const,
        value: { eventId: "e1", cursor, users: [{ userId, channelIds: ["a", "b"] }], chunkIndex, complete },
      },
    });
    const change = { kind: { case: "membershipChanged" as const, value: { userId: "ben", channelIds: [] } } };
    const { run } = await fake({
      watchPermissions: async function* (_request, cancelled) {
        yield chunk(0, "gone", false);
        yield chunk(0, "anna", false);
        yield chunk(1, "ben", true);
        yield { payload: { case: "changes", value: { eventId: "e1", epoch: "x", changes: [change] } } };
        yield { payload: { case: "checkpoint", value: { cursors: [cursor] } } };
        yield* untilCancelled(cancelled);
      },
    });
    expect((await run("permissions", "e1")).stdout).toBe(
      ["USER  CHANNELS  DISCONNECTED", "anna  a, b      -", "ben   -         -", ""].join("\n"),
    );
    expect(jsonLines(await run("permissions", "e1", "--json"))).toMatchObject([
      { snapshot: { chunkIndex: 0 } },
      { snapshot: { chunkIndex: 0 } },
      { snapshot: { chunkIndex: 1, complete: true } },
      { changes: { changes: [{ membershipChanged: { userId: "ben" } }] } },
      { checkpoint: {} },
    ]);
  });

  it("does not wait for ever for a snapshot that stops halfway", async () => {
    const { run, address } = await fake({
      watchPermissions: async function* (_request, cancelled) {
        yield { payload: { case: "snapshot", value: { eventId: "e1", cursor } } };
        yield* untilCancelled(cancelled);
      },
    });
    const { exitCode, stderr } = await run("permissions", "e1", "--timeout", "300ms");
    expect([exitCode, stderr]).toEqual([
      1,
      `squelch: no answer from ${address} within 300ms; allow more time with --timeout\n`,
    ]);
  });
});

describe("squelch assign", () => {
  it("replaces the channels and shows what changed", async () => {
    const { run, calls } = await fake({ setUserChannels: () => ({ revision: 8n, added: ["gate"], removed: [] }) });
    const { exitCode, stdout } = await run("assign", "e1", "anna", "stage", "gate", "--action", "shift change");
    expect(exitCode).toBe(0);
    expect(stdout).toBe(["EVENT  USER  ADDED  REMOVED  REVISION", "e1     anna  gate   -        8", ""].join("\n"));
    expect(calls[0]?.request).toMatchObject({
      eventId: "e1",
      userId: "anna",
      channelIds: ["stage", "gate"],
      action: "shift change",
      onlyIfUnknown: false,
    });
  });

  it("revokes all without a channel, and its help says so", async () => {
    const { run, calls } = await fake({ setUserChannels: () => ({ revision: 9n, removed: ["gate"] }) });
    expect(jsonLines(await run("assign", "e1", "anna", "--json"))).toEqual([
      { revision: "9", added: [], removed: ["gate"], superseded: false },
    ]);
    expect(calls[0]?.request).toMatchObject({ channelIds: [] });
    expect((await run("assign", "--help")).stdout).toContain("none revokes all");
  });

  it("says when nothing was written", async () => {
    const { run, calls } = await fake({ setUserChannels: () => ({ superseded: true, revision: 3n }) });
    expect((await run("assign", "e1", "anna", "a", "--only-if-unknown")).stdout).toContain(
      "nothing was written: the user has an entry",
    );
    expect((await run("assign", "e1", "anna", "a")).stdout).toContain("nothing was written: a later write");
    expect(calls[0]?.request).toMatchObject({ onlyIfUnknown: true });
  });
});

describe("squelch channels", () => {
  it("lists the channels of an event", async () => {
    const { run } = await fake({ listEventChannels: () => ({ channelIds: ["gate", "stage"] }) });
    expect((await run("channels", "e1")).stdout).toBe("CHANNEL\ngate\nstage\n");
    expect(jsonLines(await run("channels", "e1", "--json"))).toEqual([{ channelIds: ["gate", "stage"] }]);
  });

  it("adds channels first if told to, and takes none from another event", async () => {
    const { run, calls } = await fake({ setChannelEvent: () => ({}), listEventChannels: () => ({}) });
    expect((await run("channels", "e1", "--add", "gate", "stage")).stdout).toBe("no channel belongs to e1\n");
    expect(calls.map(({ method, request }) => [method, request])).toMatchObject([
      ["setChannelEvent", { channelId: "gate", eventId: "e1", onlyIfUnassigned: true }],
      ["setChannelEvent", { channelId: "stage", eventId: "e1", onlyIfUnassigned: true }],
      ["listEventChannels", { eventId: "e1" }],
    ]);
  });
});

describe("squelch speakers", () => {
  it("shows who speaks and the standing pause", async () => {
    const { run } = await fake({ getEventActiveSpeakers: () => ({ speakers: [speaker], pause }) });
    const { stdout } = await run("speakers", "e1");
    expect(stdout.split("\n").map((line) => line.split(/\s{2,}/))).toEqual([
      ["CHANNEL", "USER", "NAME", "SINCE", "UNTIL", "PRIORITY"],
      ["stage", "anna", "Anna", "2026-01-31T12:00:01Z", "2026-01-31T12:00:31Z", "normal"],
      [pauseLine],
      [""],
    ]);
  });

  it("shows who waits to speak", async () => {
    const waiting = [
      {
        channelId: "stage",
        userId: "ben",
        userName: "Ben",
        position: 1,
        priority: FloorPriority.DISPATCH,
        expiresAt: at(31),
      },
    ];
    const { run } = await fake({ getEventActiveSpeakers: () => ({ speakers: [speaker], waiting }) });
    const { stdout } = await run("speakers", "e1");
    expect(stdout.split("\n").map((line) => line.split(/\s{2,}/))).toEqual([
      ["CHANNEL", "USER", "NAME", "SINCE", "UNTIL", "PRIORITY"],
      ["stage", "anna", "Anna", "2026-01-31T12:00:01Z", "2026-01-31T12:00:31Z", "normal"],
      ["WAITING FOR", "PLACE", "USER", "NAME", "UNTIL", "PRIORITY"],
      ["stage", "1", "ben", "Ben", "2026-01-31T12:00:31Z", "dispatch"],
      [""],
    ]);
  });

  it("says that nobody speaks; as JSON the list is there and empty", async () => {
    const { run } = await fake({ getEventActiveSpeakers: () => ({}) });
    expect((await run("speakers", "e1")).stdout).toBe("nobody is speaking in e1\n");
    expect(jsonLines(await run("speakers", "e1", "--json"))).toEqual([{ speakers: [], waiting: [] }]);
  });
});

describe("squelch pause and resume", () => {
  it("passes every option on and shows whom it cut", async () => {
    const { run, calls } = await fake({ pauseAllSpeakers: () => ({ pause, paused: [speaker], revision: 4n }) });
    const options = ["--reason", "Fire", "--duration", "1.5s", "--broadcaster", "dora", "--request-id", "r1"];
    const { exitCode, stdout } = await run("pause", "e1", ...options, "--exempt", "ben", "--exempt", "carl");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(
      /^CHANNEL +USER[^\n]+\nstage +anna[^\n]+\npaused until .*\nlift it with: squelch resume e1\n$/,
    );
    expect(calls[0]?.request).toMatchObject({
      eventId: "e1",
      reason: "Fire",
      duration: { seconds: 1n, nanos: 500_000_000 },
      exemptUserIds: ["ben", "carl"],
      broadcaster: { userId: "dora" },
      requestId: "r1",
    });
  });

  it("tells a duration of 0 from none", async () => {
    const cut = { ...pause, expiresAt: pause.startedAt };
    const { run, calls } = await fake({ pauseAllSpeakers: () => ({ pause: cut }) });
    const { stdout } = await run("pause", "e1", "--duration", "0");
    expect(stdout).toBe("nobody was speaking in e1\ncut at 2026-01-31T12:00:00Z by cli:dora (Fire) pause id p1\n");
    await run("pause", "e1");
    expect(calls.map(({ request }) => (request as { duration?: object }).duration)).toMatchObject([
      { seconds: 0n, nanos: 0 },
      undefined,
    ] as object[]);
  });

  it("takes the place of the pause that is named, and says so", async () => {
    const { run, calls } = await fake({ pauseAllSpeakers: () => ({ pause, replacedPauseId: "p0" }) });
    const { stdout } = await run("pause", "e1", "--broadcaster", "carl", "--replace", "p0");
    expect(stdout).toContain("\nit took the place of pause p0\n");
    expect(calls[0]?.request).toMatchObject({ broadcaster: { userId: "carl" }, replacePauseId: "p0" });
  });

  it("lifts whichever pause stands", async () => {
    const { run, calls } = await fake({
      getEventActiveSpeakers: () => ({ pause }),
      resumeSpeakers: () => ({ revision: 5n }),
    });
    expect((await run("resume", "e1")).stdout).toBe("e1: pause p1 is lifted (revision 5)\n");
    expect(calls[1]?.request).toMatchObject({ eventId: "e1", pauseId: "p1" });
  });

  it("lifts only the pause that is named", async () => {
    const { run, calls } = await fake({ resumeSpeakers: () => ({ revision: 5n }) });
    expect(jsonLines(await run("resume", "e1", "--pause-id", "p0", "--json"))).toEqual([{ revision: "5" }]);
    expect(calls.map(({ request }) => request)).toMatchObject([{ eventId: "e1", pauseId: "p0" }]);
  });

  it("fails where nothing is paused", async () => {
    const { run } = await fake({ getEventActiveSpeakers: () => ({}) });
    expect(await run("resume", "e1")).toEqual({
      exitCode: 1,
      stdout: "",
      stderr: "squelch: e1 is not paused; there is nothing to lift\n",
    });
  });
});

describe("squelch watch", () => {
  const snapshot = {
    eventId: "e1",
    cursor,
    users: [{ userId: "anna", channelIds: ["a"] }],
    reason: SnapshotReason.INITIAL,
    complete: true,
  };
  const change = { userId: "anna", channelIds: ["a", "b"], added: ["b"], removed: ["c"], action: "set_user_channels" };
  const watchPermissions = async function* () {
    yield { payload: { case: "snapshot" as const, value: snapshot } };
    yield { payload: { case: "checkpoint" as const, value: { cursors: [cursor], feedHealthy: true } } };
    yield {
      payload: {
        case: "changes" as const,
        value: {
          eventId: "e1",
          epoch: "x",
          changes: [
            {
              revision: 8n,
              time: at(2),
              actor: "control-plane",
              kind: { case: "membershipChanged" as const, value: change },
            },
            {
              revision: 9n,
              time: at(3),
              actor: "x",
              kind: { case: "speakersPaused" as const, value: { pause, cut: [speaker], replacedPauseId: "p0" } },
            },
          ],
        },
      },
    };
    yield { payload: { case: "checkpoint" as const, value: { cursors: [cursor], feedHealthy: true } } };
    yield { payload: { case: "checkpoint" as const, value: { cursors: [cursor], feedHealthy: false } } };
    throw new FakeFailure(status.UNAVAILABLE, "the replica is stopping; reconnect with your cursors");
  };

  it("tells people what happens, and why it ended", async () => {
    const { run, address } = await fake({ watchPermissions });
    expect(await run("watch", "e1")).toEqual({
      exitCode: 1,
      stdout: [
        "e1 snapshot (initial) at revision 7: 1 user",
        "caught up with 1 event, feed healthy",
        "e1 #8 2026-01-31T12:00:02Z anna now has a, b (+b -c) by control-plane",
        `e1 #9 2026-01-31T12:00:03Z ${pauseLine}, in the place of p0, cut: anna on stage by x`,
        "feed not healthy: changes may be missing",
        "",
      ].join("\n"),
      stderr: `squelch: ${address} is unavailable: the replica is stopping; reconnect with your cursors\n`,
    });
  });

  it("prints every message of the stream as one line of JSON", async () => {
    const { run, calls } = await fake({ watchPermissions });
    const { stdout } = await run(
      "watch",
      "e1",
      "e2",
      "--user",
      "anna",
      "--user",
      "ben",
      "--router-id",
      "r",
      "--json",
      "--checkpoint-interval",
      "2s",
    );
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map((line) => Object.keys(line))).toEqual([
      ["snapshot"],
      ["checkpoint"],
      ["changes"],
      ["checkpoint"],
      ["checkpoint"],
    ]);
    expect(lines[2].changes.changes[0].membershipChanged).toEqual(change);
    expect(calls[0]?.request).toMatchObject({
      eventIds: ["e1", "e2"],
      userIds: ["anna", "ben"],
      routerId: "r",
      checkpointInterval: { seconds: 2n },
    });
  });

  it("notices a replica that says nothing at all, and one that stops sending checkpoints", async () => {
    const { run, address } = await fake({
      watchPermissions: async function* (request, cancelled) {
        if (request.eventIds[0] === "once") yield { payload: { case: "snapshot", value: snapshot } };
        yield* untilCancelled(cancelled);
      },
    });
    for (const eventId of ["never", "once"]) {
      const options = ["--timeout", "200ms", "--checkpoint-interval", "100ms"];
      expect(await run("watch", eventId, ...options)).toMatchObject({
        exitCode: 1,
        stderr: `squelch: ${address} fell silent, not even a checkpoint came; start the watch again\n`,
      });
    }
  });

  it("is not bound by the timeout of a call", async () => {
    const { run } = await fake({
      watchPermissions: async function* () {
        yield { payload: { case: "snapshot", value: snapshot } };
        await sleep(400);
        throw new FakeFailure(status.UNAVAILABLE, "later");
      },
    });
    expect((await run("watch", "--timeout", "200ms")).stderr).toContain("is unavailable: later");
  });

  it("fails also when the stream ends without an error", async () => {
    const { run, address } = await fake({ watchPermissions: async function* () {} });
    expect(await run("watch")).toMatchObject({
      exitCode: 1,
      stderr: `squelch: ${address} ended the watch without an error; start it again\n`,
    });
  });
});

describe("squelch status", () => {
  const replica = (feedHealthy: boolean) =>
    fake({
      watchPermissions: async function* (_request, cancelled) {
        yield { payload: { case: "snapshot", value: { eventId: "e1", cursor, complete: true, pause } } };
        yield { payload: { case: "snapshot", value: { eventId: "e2", cursor, complete: true } } };
        const cursors = [cursor, { ...cursor, eventId: "e2" }];
        yield { payload: { case: "checkpoint", value: { cursors, feedHealthy, feedAge: { nanos: 400_000_000 } } } };
        yield* untilCancelled(cancelled);
      },
    });

  it("shows a replica that is well", async () => {
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

  it("with --fleet shows every replica, and how far each router is; fails if a replica is not well", async () => {
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
      fake({
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
      "REPLICA  GRPC         FEED     WATCHES  EVENTS  HEARD",
      "r-1      127.0.0.1:1  healthy  2        3       0.5 s ago",
      "r-2      127.0.0.1:2  healthy  0        0       0.9 s ago",
      "ROUTER  CONNECTED  EVENTS  BEHIND IN  MOST BEHIND                  HEARD",
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
      stderr: "squelch: changes do not reach r-2; look at the log there and at Redis\n",
    });
  });

  it("with --reconcile has the memberships compared first, and says what that came to", async () => {
    const counts = { comparedUsers: 1_200, changedUsers: 3, ambiguousUsers: 0 };
    const { run, calls } = await fake({
      reconcileMemberships: () => ({ generation: 1_700_000_000_000n, ...counts }),
      watchPermissions: async function* (_request, cancelled) {
        yield { payload: { case: "checkpoint", value: { feedHealthy: true } } };
        yield* untilCancelled(cancelled);
      },
    });
    expect((await run("status", "--reconcile")).stdout).toContain(
      "compared 1200 users with the control plane's keys: 3 changed, 0 left as they are because the keys do not tell\n",
    );
    expect(calls.map(({ method }) => method)).toEqual(["reconcileMemberships", "watchPermissions"]);
    expect(jsonLines(await run("status", "--reconcile", "--json"))).toMatchObject([
      { reconciled: { generation: "1700000000000", ...counts } },
    ]);
  });

  it("with --reconcile fails where there is nothing to compare with", async () => {
    const { run, calls } = await fake({
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

  it("fails where the feed is not healthy, having shown what it knows", async () => {
    const { run, address } = await replica(false);
    const { exitCode, stdout, stderr } = await run("status");
    expect(exitCode).toBe(1);
    expect(stdout).toContain("not healthy");
    expect(stderr).toBe(
      `squelch: changes do not reach ${address}; it serves what it knows, look at its log and at Redis\n`,
    );
  });
});

describe("squelch disconnect, ban, unban and bans", () => {
  const ban = { userId: "anna", reason: "Noise", bannedBy: "cli:dora", bannedAt: at(0), expiresAt: at(59) };

  it("disconnects a user for a reason", async () => {
    const { run, calls } = await fake({ disconnectUser: () => ({ revision: 7n, replicated: true }) });
    expect((await run("disconnect", "e1", "anna", "--reason", "Fire")).stdout).toBe(
      "anna is disconnected from e1 (revision 7)\n",
    );
    expect(calls[0]?.request).toMatchObject({ eventId: "e1", userId: "anna", reason: "Fire" });
    expect(jsonLines(await run("disconnect", "e1", "anna", "--json"))).toEqual([{ revision: "7", replicated: true }]);
  });

  it("bans for a time or until the ban is lifted, and says how to lift it", async () => {
    const { run, calls } = await fake({ banUser: ({ duration }) => ({ ban: duration ? ban : { userId: "anna" } }) });
    expect((await run("ban", "e1", "anna", "--duration", "24h", "--reason", "Noise")).stdout).toBe(
      "anna is banned until 2026-01-31T12:00:59Z by cli:dora (Noise)\nlift it with: squelch unban e1 anna\n",
    );
    expect((await run("ban", "e1", "anna")).stdout).toMatch(/^anna is banned until the ban is lifted by - \(no reason/);
    expect(calls.map(({ request }) => request)).toMatchObject([
      { eventId: "e1", userId: "anna", reason: "Noise", duration: { seconds: 86_400n } },
      { reason: "" },
    ]);
    expect(calls[1]?.request).not.toHaveProperty("duration");
    expect(await run("ban", "e1", "anna", "--duration", "0")).toMatchObject({ exitCode: 2 });
    expect(calls).toHaveLength(2);
  });

  it("lifts a ban, and says so where there is none", async () => {
    const { run } = await fake({ unbanUser: () => ({ revision: 9n }) });
    expect((await run("unban", "e1", "anna")).stdout).toBe("the ban of anna is lifted (revision 9)\n");
    const message = 'user_id: "anna" is not banned';
    const { run: runInVain } = await fake({
      unbanUser: () => {
        throw new FakeFailure(status.FAILED_PRECONDITION, message);
      },
    });
    expect(await runInVain("unban", "e1", "anna")).toEqual({
      exitCode: 1,
      stdout: "",
      stderr: `squelch: ${message}\n`,
    });
  });

  it("lists the bans with what is known of them", async () => {
    const { run } = await fake({ listBans: () => ({ bans: [ban, { userId: "7" }] }) });
    expect((await run("bans", "e1")).stdout.split("\n")).toEqual([
      "USER  UNTIL                 BY        SINCE                 REASON",
      "anna  2026-01-31T12:00:59Z  cli:dora  2026-01-31T12:00:00Z  Noise",
      "7     lifted                -         -                     -",
      "",
    ]);
    const { run: runInVain } = await fake({ listBans: () => ({}) });
    expect((await runInVain("bans", "e1")).stdout).toBe("nobody is banned in e1\n");
    expect(jsonLines(await runInVain("bans", "e1", "--json"))).toEqual([{ bans: [] }]);
  });
});
