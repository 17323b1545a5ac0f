import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { at, fakeCommandLine } from "../../../support/fakes/fakeCommandLine.js";
import { FakeFailure } from "../../../support/fakes/fakeService.js";
import { jsonLines } from "../../../support/runCli.js";

describe("squelch disconnect, ban, unban and bans", () => {
  const ban = { userId: "anna", reason: "Noise", bannedBy: "cli:dora", bannedAt: at(0), expiresAt: at(59) };

  it("disconnects a user for a reason", async () => {
    const { run, calls } = await fakeCommandLine({ disconnectUser: () => ({ revision: 7n, replicated: true }) });
    expect((await run("disconnect", "e1", "anna", "--reason", "Fire")).stdout).toBe(
      "anna is disconnected from e1 (revision 7)\n",
    );
    expect(calls[0]?.request).toMatchObject({ eventId: "e1", userId: "anna", reason: "Fire" });
    expect(jsonLines(await run("disconnect", "e1", "anna", "--json"))).toEqual([
      { revision: "7", epoch: "", replicated: true },
    ]);
  });

  it("bans for a time or until the ban is lifted, and prints how to lift it", async () => {
    const { run, calls } = await fakeCommandLine({
      banUser: ({ duration }) => ({ ban: duration ? ban : { userId: "anna" } }),
    });
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

  it("lifts a ban, and prints a message if there is none", async () => {
    const { run } = await fakeCommandLine({ unbanUser: () => ({ revision: 9n }) });
    expect((await run("unban", "e1", "anna")).stdout).toBe("the ban of anna is lifted (revision 9)\n");
    const message = 'user_id: "anna" is not banned';
    const { run: runInVain } = await fakeCommandLine({
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

  it("lists the bans with their known fields", async () => {
    const { run } = await fakeCommandLine({ listBans: () => ({ bans: [ban, { userId: "7" }] }) });
    expect((await run("bans", "e1")).stdout.split("\n")).toEqual([
      "USER  UNTIL                 BY        SINCE                 REASON",
      "anna  2026-01-31T12:00:59Z  cli:dora  2026-01-31T12:00:00Z  Noise",
      "7     lifted                -         -                     -",
      "",
    ]);
    const { run: runInVain } = await fakeCommandLine({ listBans: () => ({}) });
    expect((await runInVain("bans", "e1")).stdout).toBe("nobody is banned in e1\n");
    expect(jsonLines(await runInVain("bans", "e1", "--json"))).toEqual([{ bans: [], nextPageToken: "" }]);
  });
});
