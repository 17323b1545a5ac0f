import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { cursor, fakeCommandLine, pause, pauseLine, untilCancelled } from "../../../support/fakes/fakeCommandLine.js";
import { FakeFailure } from "../../../support/fakes/fakeService.js";
import { jsonLines } from "../../../support/runCli.js";

describe("squelch permissions", () => {
  const getUserPermissions = () => ({
    ...{ channelIds: ["gate", "stage"], cursor, pause, known: true },
    userRevision: 5n,
  });

  it("shows one user's channels and the standing pause", async () => {
    const { run, calls } = await fakeCommandLine({ getUserPermissions });
    expect(await run("permissions", "e1", "anna")).toEqual({
      exitCode: 0,
      stdout: ["EVENT  USER  CHANNELS     REVISION", "e1     anna  gate, stage  5", pauseLine, ""].join("\n"),
      stderr: "",
    });
    expect(calls[0]).toMatchObject({ method: "getUserPermissions", request: { eventId: "e1", userId: "anna" } });
    expect(calls[0]?.metadata.get("squelch-actor")[0]).toMatch(/^cli:[\x21-\x7e]+$/);
  });

  it("prints the response as protobuf JSON on one line, empty lists too", async () => {
    const { run } = await fakeCommandLine({ getUserPermissions: () => ({ cursor, known: true }) });
    expect(jsonLines(await run("permissions", "e1", "anna", "--json"))).toEqual([
      { channelIds: [], cursor: { eventId: "e1", epoch: "x", revision: "7" }, known: true, userRevision: "0" },
    ]);
  });

  it("distinguishes a user that never had an entry from one without channels", async () => {
    const { run } = await fakeCommandLine({ getUserPermissions: () => ({ known: false }) });
    const { exitCode, stdout } = await run("permissions", "e1", "anna");
    expect([exitCode, stdout]).toEqual([0, "nothing was ever assigned to anna in e1\n"]);
  });

  it("shows all users if none is named, from the chunks of a snapshot that may start over", async () => {
    const chunk = (chunkIndex: number, userId: string, complete: boolean) => ({
      payload: {
        case: "snapshot" as const,
        value: { eventId: "e1", cursor, users: [{ userId, channelIds: ["a", "b"] }], chunkIndex, complete },
      },
    });
    const change = { kind: { case: "membershipChanged" as const, value: { userId: "ben", channelIds: [] } } };
    const { run } = await fakeCommandLine({
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

  it("limits the wait for a snapshot that stops halfway", async () => {
    const { run, address } = await fakeCommandLine({
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
    const { run, calls } = await fakeCommandLine({
      getUserPermissions: () => ({ userRevision: 7n }),
      setUserChannels: () => ({ revision: 8n, added: ["gate"], removed: [] }),
    });
    const { exitCode, stdout } = await run("assign", "e1", "anna", "stage", "gate", "--action", "shift change");
    expect(exitCode).toBe(0);
    expect(stdout).toBe(["EVENT  USER  ADDED  REMOVED  REVISION", "e1     anna  gate   -        8", ""].join("\n"));
    expect(calls.at(-1)?.request).toMatchObject({
      eventId: "e1",
      userId: "anna",
      channelIds: ["stage", "gate"],
      action: "shift change",
      onlyIfUnknown: false,
      ifRevision: 7n,
    });
  });

  it("does not overwrite another administrator's change, and says what the user has now", async () => {
    const { run, calls } = await fakeCommandLine({
      getUserPermissions: () => ({ channelIds: ["gate", "stage"], userRevision: 9n, known: true }),
      setUserChannels: () => {
        throw new FakeFailure(status.FAILED_PRECONDITION, "no", "REVISION_CHANGED", { revision: "9" });
      },
    });
    expect(await run("assign", "e1", "anna", "stage", "--if-revision", "7")).toEqual({
      exitCode: 1,
      stdout: "",
      stderr:
        "squelch: nothing was written: another administrator has changed anna, who now has gate, stage (revision 9); " +
        "to replace that, repeat with --if-revision 9\n",
    });
    expect(calls[0]).toMatchObject({ method: "setUserChannels", request: { ifRevision: 7n } });
  });

  it("revokes all channels if none is named, and its help says so", async () => {
    const { run, calls } = await fakeCommandLine({
      getUserPermissions: () => ({}),
      setUserChannels: () => ({ revision: 9n, epoch: "e", removed: ["gate"] }),
    });
    expect(jsonLines(await run("assign", "e1", "anna", "--json"))).toEqual([
      { revision: "9", epoch: "e", replicated: false, added: [], removed: ["gate"], superseded: false },
    ]);
    expect(calls.at(-1)?.request).toMatchObject({ channelIds: [] });
    expect((await run("assign", "--help")).stdout).toContain("none revokes all");
  });

  it("prints when nothing was written", async () => {
    const { run, calls } = await fakeCommandLine({
      getUserPermissions: () => ({}),
      setUserChannels: () => ({ superseded: true, revision: 3n }),
    });
    expect((await run("assign", "e1", "anna", "a", "--only-if-unknown")).stdout).toContain(
      "nothing was written: the user has an entry",
    );
    expect((await run("assign", "e1", "anna", "a")).stdout).toContain("nothing was written: a later write");
    expect(calls[0]?.request).toMatchObject({ onlyIfUnknown: true });
  });
});

describe("squelch channels", () => {
  it("lists the channels of an event", async () => {
    const { run } = await fakeCommandLine({ listEventChannels: () => ({ channelIds: ["gate", "stage"] }) });
    expect((await run("channels", "e1")).stdout).toBe("CHANNEL\ngate\nstage\n");
    expect(jsonLines(await run("channels", "e1", "--json"))).toEqual([
      { channelIds: ["gate", "stage"], nextPageToken: "" },
    ]);
  });

  it("adds channels first if requested, but none of another event", async () => {
    const { run, calls } = await fakeCommandLine({ setChannelEvent: () => ({}), listEventChannels: () => ({}) });
    expect((await run("channels", "e1", "--add", "gate", "stage")).stdout).toBe("no channel belongs to e1\n");
    expect(calls.map(({ method, request }) => [method, request])).toMatchObject([
      ["setChannelEvent", { channelId: "gate", eventId: "e1", onlyIfUnassigned: true }],
      ["setChannelEvent", { channelId: "stage", eventId: "e1", onlyIfUnassigned: true }],
      ["listEventChannels", { eventId: "e1" }],
    ]);
  });
});
