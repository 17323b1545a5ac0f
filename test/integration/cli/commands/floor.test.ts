import { describe, expect, it } from "vitest";
import { FloorPriority } from "../../../../gen/squelch/v1/model_pb.js";
import { at, fakeCommandLine, pause, pauseLine, speaker } from "../../../support/fakes/fakeCommandLine.js";
import { jsonLines } from "../../../support/runCli.js";

describe("squelch speakers", () => {
  it("shows the speakers and the standing pause", async () => {
    const { run } = await fakeCommandLine({ getEventActiveSpeakers: () => ({ speakers: [speaker], pause }) });
    const { stdout } = await run("speakers", "e1");
    expect(stdout.split("\n").map((line) => line.split(/\s{2,}/))).toEqual([
      ["CHANNEL", "USER", "NAME", "SINCE", "UNTIL", "PRIORITY"],
      ["stage", "anna", "Anna", "2026-01-31T12:00:01Z", "2026-01-31T12:00:31Z", "normal"],
      [pauseLine],
      [""],
    ]);
  });

  it("shows the requests that wait", async () => {
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
    const { run } = await fakeCommandLine({ getEventActiveSpeakers: () => ({ speakers: [speaker], waiting }) });
    const { stdout } = await run("speakers", "e1");
    expect(stdout.split("\n").map((line) => line.split(/\s{2,}/))).toEqual([
      ["CHANNEL", "USER", "NAME", "SINCE", "UNTIL", "PRIORITY"],
      ["stage", "anna", "Anna", "2026-01-31T12:00:01Z", "2026-01-31T12:00:31Z", "normal"],
      ["WAITING FOR", "PLACE", "USER", "NAME", "UNTIL", "PRIORITY"],
      ["stage", "1", "ben", "Ben", "2026-01-31T12:00:31Z", "dispatch"],
      [""],
    ]);
  });

  it("prints that no user speaks; as JSON the list is present and empty", async () => {
    const { run } = await fakeCommandLine({ getEventActiveSpeakers: () => ({}) });
    expect((await run("speakers", "e1")).stdout).toBe("nobody is speaking in e1\n");
    expect(jsonLines(await run("speakers", "e1", "--json"))).toEqual([{ speakers: [], waiting: [] }]);
  });
});

describe("squelch pause and resume", () => {
  it("sends every option and shows which speakers it cut", async () => {
    const { run, calls } = await fakeCommandLine({
      pauseAllSpeakers: () => ({ pause, paused: [speaker], revision: 4n }),
    });
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

  it("distinguishes a duration of 0 from a missing one", async () => {
    const cut = { ...pause, expiresAt: pause.startedAt };
    const { run, calls } = await fakeCommandLine({ pauseAllSpeakers: () => ({ pause: cut }) });
    const { stdout } = await run("pause", "e1", "--duration", "0");
    expect(stdout).toBe("nobody was speaking in e1\ncut at 2026-01-31T12:00:00Z by cli:dora (Fire) pause id p1\n");
    await run("pause", "e1");
    expect(calls.map(({ request }) => (request as { duration?: object }).duration)).toMatchObject([
      { seconds: 0n, nanos: 0 },
      undefined,
    ] as object[]);
  });

  it("replaces the named pause, and prints that", async () => {
    const { run, calls } = await fakeCommandLine({ pauseAllSpeakers: () => ({ pause, replacedPauseId: "p0" }) });
    const { stdout } = await run("pause", "e1", "--broadcaster", "carl", "--replace", "p0");
    expect(stdout).toContain("\nit took the place of pause p0\n");
    expect(calls[0]?.request).toMatchObject({ broadcaster: { userId: "carl" }, replacePauseId: "p0" });
  });

  it("lifts the standing pause", async () => {
    const { run, calls } = await fakeCommandLine({
      getEventActiveSpeakers: () => ({ pause }),
      resumeSpeakers: () => ({ revision: 5n }),
    });
    expect((await run("resume", "e1")).stdout).toBe("e1: pause p1 is lifted (revision 5)\n");
    expect(calls[1]?.request).toMatchObject({ eventId: "e1", pauseId: "p1" });
  });

  it("lifts only the named pause", async () => {
    const { run, calls } = await fakeCommandLine({ resumeSpeakers: () => ({ revision: 5n }) });
    expect(jsonLines(await run("resume", "e1", "--pause-id", "p0", "--json"))).toEqual([
      { revision: "5", epoch: "", replicated: false },
    ]);
    expect(calls.map(({ request }) => request)).toMatchObject([{ eventId: "e1", pauseId: "p0" }]);
  });

  it("fails if the event is not paused", async () => {
    const { run } = await fakeCommandLine({ getEventActiveSpeakers: () => ({}) });
    expect(await run("resume", "e1")).toEqual({
      exitCode: 1,
      stdout: "",
      stderr: "squelch: e1 is not paused; there is nothing to lift\n",
    });
  });
});
