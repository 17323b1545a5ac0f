import { setTimeout as sleep } from "node:timers/promises";
import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { SnapshotReason } from "../../../../gen/squelch/v1/permission_service_pb.js";
import {
  at,
  cursor,
  fakeCommandLine,
  pause,
  pauseLine,
  speaker,
  untilCancelled,
} from "../../../support/fakes/fakeCommandLine.js";
import { FakeFailure } from "../../../support/fakes/fakeService.js";

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
    throw new FakeFailure(status.UNAVAILABLE, "the replica is stopping; reconnect with your cursors", "DRAINING");
  };

  it("prints each change, and why the stream ended", async () => {
    const { run, address } = await fakeCommandLine({ watchPermissions });
    expect(await run("watch", "e1")).toEqual({
      exitCode: 1,
      stdout: [
        "e1 snapshot (initial) at revision 7: 1 user",
        "caught up with 1 event, feed healthy",
        "e1 #8 2026-01-31T12:00:02Z anna now has a, b (+b -c) by control-plane",
        `e1 #9 2026-01-31T12:00:03Z ${pauseLine}, replaces p0, cut: anna on stage by x`,
        "feed not healthy: changes may be missing",
        "",
      ].join("\n"),
      stderr: `squelch: ${address} is unavailable: the replica is stopping; reconnect with your cursors\n`,
    });
  });

  it("prints every message of the stream as one line of JSON", async () => {
    const { run, calls } = await fakeCommandLine({ watchPermissions });
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

  it("notices a replica that sends nothing, and one that stops sending checkpoints", async () => {
    const { run, address } = await fakeCommandLine({
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

  it("has no timeout of a call", async () => {
    const { run } = await fakeCommandLine({
      watchPermissions: async function* () {
        yield { payload: { case: "snapshot", value: snapshot } };
        await sleep(400);
        throw new FakeFailure(status.UNAVAILABLE, "later");
      },
    });
    expect((await run("watch", "--timeout", "200ms")).stderr).toContain("is unavailable: later");
  });

  it("fails also when the stream ends without an error", async () => {
    const { run, address } = await fakeCommandLine({ watchPermissions: async function* () {} });
    expect(await run("watch")).toMatchObject({
      exitCode: 1,
      stderr: `squelch: ${address} ended the watch without an error; start it again\n`,
    });
  });
});
