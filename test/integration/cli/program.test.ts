import type { ChildProcess } from "node:child_process";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { endChild, startChild } from "../../support/childProcess.js";
import { startWatcher } from "../../support/clients/startWatcher.js";
import { collectLines } from "../../support/collectLines.js";
import { startFakeService } from "../../support/fakes/fakeService.js";
import { startRedis } from "../../support/redis/startRedis.js";
import { jsonLines, runCli } from "../../support/runCli.js";
import { type SquelchProcess, spawnSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const PROGRAM = "bin/squelch";
const children: ChildProcess[] = [];

async function startProgram(args: readonly string[], options: { nodeArgs?: string[]; env?: NodeJS.ProcessEnv } = {}) {
  const { nodeArgs = [PROGRAM], env = {} } = options;
  const child = await startChild(process.execPath, [...nodeArgs, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  const ended = new Promise<number | null>((resolve) => {
    child.once("close", (code) => resolve(code));
  });
  return { child, ended, stdout: collectLines(child.stdout), stderr: collectLines(child.stderr) };
}

async function startReplica(...args: string[]): Promise<SquelchProcess> {
  const squelch = await spawnSquelch(args);
  onTestFinished(() => squelch.stop());
  return squelch;
}

afterEach(async () => {
  for (const child of children.splice(0)) await endChild(child, "SIGKILL");
});

describe("the built program", () => {
  it("can be executed and prints its version", async () => {
    const child = await startChild(PROGRAM, ["--version"], { stdio: ["ignore", "pipe", "pipe"] });
    const lines = collectLines(child.stdout);
    await waitFor(() => lines.length === 1);
    expect(lines[0]).toMatch(/^\d+\.\d+\.\d+$/);
  });

  it("passes exit codes and error lines on", async () => {
    const misused = await startProgram(["nonsense"]);
    expect([await misused.ended, misused.stdout, misused.stderr]).toEqual([
      2,
      [],
      [`squelch: unknown command 'nonsense'; see "squelch --help"`],
    ]);
  });

  it("ends quietly when its output is closed", async () => {
    const service = await startFakeService({
      watchPermissions: async function* (_request, cancelled) {
        while (!cancelled.aborted) {
          yield { payload: { case: "checkpoint", value: { feedHealthy: true } } };
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      },
    });
    onTestFinished(service.close);
    const watch = await startProgram(["watch", "--json", "--address", service.address]);
    await waitFor(() => watch.stdout.length > 0);
    watch.child.stdout?.destroy();
    expect(await watch.ended).toBe(0);
    expect(watch.stderr).toEqual([]);
  });
});

describe("squelch demo", () => {
  it("shows a grant, speech, a pause, a refusal, a resume and a revocation, and ends by itself", async () => {
    const { ended, stdout, stderr } = await startProgram(["demo"]);
    expect([await ended, stderr]).toEqual([0, []]);
    const text = stdout.join("\n");
    for (const label of ["grant", "speech", "pause", "refusal", "resume", "revocation"]) {
      expect(text).toMatch(new RegExp(`^${label} +\\d+\\.\\d ms  \\S`, "m"));
    }
    expect(text).not.toContain("\u001b");
  });
});

describe("squelch serve and router", () => {
  it("ends with 0 on SIGINT and on SIGTERM", async () => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const squelch = await startReplica();
      squelch.kill(signal);
      expect(await squelch.exited).toBe(0);
    }
  });

  it("stops at once with 1 at a second signal", async () => {
    const hanging = `import { untilStopped } from "./dist/src/cli/lifetime.js";
      const stopped = untilStopped();
      setInterval(() => {}, 1_000);
      console.log("running");
      await stopped;
      console.log("stopping");`;
    const { child, ended, stdout } = await startProgram([], { nodeArgs: ["--input-type=module", "-e", hanging] });
    await waitFor(() => stdout.includes("running"));
    child.kill("SIGTERM");
    await waitFor(() => stdout.includes("stopping"));
    child.kill("SIGTERM");
    expect(await ended).toBe(1);
  });

  it("prints in one line that an address is in use", async () => {
    const squelch = await startReplica();
    const { grpcAddress, httpAddress } = squelch;
    const remedy = "the address is in use; choose another address, port 0 for a free one";
    for (const [args, address] of [
      [["serve", "--grpc-address", grpcAddress, "--http-address", "127.0.0.1:0"], grpcAddress],
      [["serve", "--http-address", httpAddress, "--grpc-address", "127.0.0.1:0"], httpAddress],
      [["router", "--listen", httpAddress, "--jwt-secret", "s"], httpAddress],
    ] as const) {
      const second = await startProgram(args);
      expect([await second.ended, second.stderr]).toEqual([1, [`squelch: cannot listen on ${address}: ${remedy}`]]);
    }
  });

  it("runs the reference router until SIGTERM, its secret from the environment", async () => {
    const squelch = await startReplica();
    const args = ["router", "--address", squelch.grpcAddress, "--listen", "127.0.0.1:0", "--cut", "at-once"];
    const router = await startProgram(args, { env: { SQUELCH_JWT_SECRET: "secret" } });
    const line = await waitFor(() => router.stdout.find((text) => text.includes('"msg":"listening"')));
    const { wsAddress } = JSON.parse(line) as { wsAddress: string };
    expect((await fetch(`http://${wsAddress}/`)).status).toBe(426);
    router.child.kill("SIGTERM");
    expect([await router.ended, router.stderr]).toEqual([0, []]);
  });
});

describe("the tools against a replica", () => {
  let squelch: SquelchProcess;
  const run = (...argv: string[]) => runCli(argv, { SQUELCH_ADDRESS: squelch.grpcAddress });

  beforeEach(async () => {
    squelch = await spawnSquelch();
  });
  afterEach(() => squelch.stop());

  it("assign, list, and revoke", async () => {
    expect(jsonLines(await run("assign", "e1", "anna", "stage", "gate", "--json"))).toMatchObject([
      { revision: "1", replicated: false, added: ["gate", "stage"], removed: [], superseded: false },
    ]);
    expect(jsonLines(await run("permissions", "e1", "anna", "--json"))).toMatchObject([
      { channelIds: ["gate", "stage"], known: true, cursor: { eventId: "e1", revision: "1" } },
    ]);
    expect((await run("permissions", "e1")).stdout).toMatch(/^USER .*\nanna +gate, stage +-\n$/);
    expect((await run("channels", "e1")).stdout).toBe("CHANNEL\ngate\nstage\n");
    expect((await run("channels", "e2", "--add", "gate")).exitCode).toBe(1);
    expect((await run("channels", "e2", "--add", "bar")).stdout).toBe("CHANNEL\nbar\n");
    expect((await run("assign", "e1", "anna")).stdout).toMatch(/\ne1 +anna +- +gate, stage +2\n$/);
    expect((await run("assign", "e1", "anna", "bar")).stderr).toMatch(/^squelch: [^\n]*bar[^\n]*\n$/);
    expect((await run("assign", "e{1}", "anna")).stderr).toMatch(/^squelch: event_id[^\n]+\n$/);
  });

  it("pause, list, and resume", async () => {
    expect((await run("channels", "e1", "--add", "stage")).exitCode).toBe(0);
    const options = ["--reason", "Fire", "--duration", "10m", "--broadcaster", "dora"];
    expect((await run("pause", "e1", ...options)).stdout).toMatch(
      /^nobody was speaking in e1\npaused until .* \(Fire\)/,
    );
    expect((await run("speakers", "e1")).stdout).toMatch(/\nstage +dora .*\npaused until [^\n]+\n$/);
    expect((await run("status")).stdout).toMatch(/pauses +1\n {2}e1: paused until/);
    expect((await run("pause", "e1")).stderr).toMatch(/^squelch: [^\n]+\n$/);
    expect((await run("resume", "e1")).stdout).toMatch(/^e1: pause \S+ is lifted \(revision \d+\)\n$/);
    expect((await run("resume", "e1")).stderr).toBe("squelch: e1 is not paused; there is nothing to lift\n");
    expect((await run("speakers", "e1")).stdout).toBe("nobody is speaking in e1\n");
  });

  it("disconnect, ban, list, and unban", async () => {
    expect((await run("disconnect", "e1", "anna", "--wait")).stdout).toMatch(
      /^anna is disconnected from e1 \(revision 1\)\nno router watches the event/,
    );
    const options = ["--reason", "Noise", "--duration", "1h"];
    expect((await run("ban", "e1", "anna", ...options)).stdout).toMatch(
      /^anna is banned until 20\S+Z by cli:.* \(Noise\)/,
    );
    expect((await run("bans", "e1")).stdout).toMatch(/\nanna +20\S+Z +cli:.+ +20\S+Z +Noise\n$/);
    expect((await run("unban", "e1", "anna")).exitCode).toBe(0);
    expect((await run("unban", "e1", "anna")).stderr).toBe('squelch: user_id: "anna" is not banned\n');
    expect((await run("bans", "e1")).stdout).toBe("nobody is banned in e1\n");
  });

  it("records the actor in the log, and a watch receives all changes until the replica stops", async () => {
    const watch = await startProgram(["watch", "e1", "--address", squelch.grpcAddress]);
    await waitFor(() => watch.stdout.some((line) => line.includes("caught up")));
    await run("assign", "e1", "anna", "stage");
    const line = await waitFor(() => watch.stdout.find((text) => text.includes("anna")));
    expect(line).toMatch(/^e1 #1 \S+Z anna now has stage \(\+stage\) by cli:\S+$/);
    await squelch.stop();
    expect(await watch.ended).toBe(1);
    expect(watch.stderr).toHaveLength(1);
  });

  it("status of a healthy replica", async () => {
    const { exitCode, stdout } = await run("status");
    expect([exitCode, stdout.split("\n")[1]]).toEqual([0, expect.stringMatching(/^feed +healthy/)]);
  });
});

describe("with a Redis", () => {
  it("G3: an assignment of the control plane reaches squelch watch --json", async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const squelch = await startReplica("--redis-url", redis.url);
    const args = [PROGRAM, "watch", "e1", "--json", "--address", squelch.grpcAddress];
    const watcher = await startWatcher(process.execPath, args);
    onTestFinished(() => watcher.stop());
    await watcher.find(({ checkpoint }) => checkpoint?.feedHealthy);
    const update = { eventId: "e1", userId: "u1", channelIds: ["a", "b"], action: "set_user_channels" };
    await redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify(update));
    expect(await watcher.find(({ changes }) => changes)).toMatchObject({
      eventId: "e1",
      changes: [{ revision: "1", membershipChanged: { userId: "u1", channelIds: ["a", "b"], removed: [] } }],
    });
  });

  it("G9: status fails while Redis is away", async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const squelch = await startReplica("--redis-url", redis.url);
    await redis.kill();
    const failed = await waitFor(
      async () => {
        const result = await runCli(["status", "--address", squelch.grpcAddress]);
        return result.exitCode === 1 ? result : undefined;
      },
      { timeoutMs: 15_000 },
    );
    expect(failed.stderr).toMatch(/^squelch: [^\n]+; [^\n]+\n$/);
  });
});
