import { type ChildProcess, execFileSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { connect } from "node:net";
import { Redis } from "ioredis";
import { afterEach, describe, expect, it } from "vitest";
import { processMemoryMib } from "../../../bench/support/processMemory.js";
import { endChild, findFreePort, isRunning, startChild } from "../../support/childProcess.js";
import { collectLines } from "../../support/collectLines.js";
import { createFullPipe, type FullPipe } from "../../support/output/fullPipe.js";
import { startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { PYTHON } from "../../support/systemPackages.js";
import { waitFor } from "../../support/waitFor.js";

const DRAIN_TIMEOUT_MS = 3_000;

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function run(args: readonly string[], stdout: number, env: Record<string, string> = {}): Promise<ChildProcess> {
  const child = await startChild(process.execPath, ["bin/squelch", ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", stdout, "inherit"],
  });
  closers.push(() => endChild(child, "SIGKILL"));
  return child;
}

function fullPipe(): FullPipe {
  const pipe = createFullPipe();
  closers.push(() => pipe.close());
  return pipe;
}

/** Starts a replica with fixed addresses, because its output is not read. */
async function serve(
  stdout: number,
  args: readonly string[] = [],
  drainTimeoutMs = DRAIN_TIMEOUT_MS,
): Promise<{ child: ChildProcess; url: string }> {
  const [grpc, http] = [await findFreePort(), await findFreePort()];
  const child = await run(
    [
      "serve",
      ...["--grpc-address", `127.0.0.1:${grpc}`, "--http-address", `127.0.0.1:${http}`],
      ...["--drain-timeout", `${drainTimeoutMs}`, ...args],
    ],
    stdout,
  );
  const url = `http://127.0.0.1:${http}`;
  await untilReady(url);
  return { child, url };
}

function untilReady(url: string): Promise<unknown> {
  const isReady = () =>
    fetch(`${url}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  return waitFor(isReady, { message: "the replica to be ready" });
}

/** Sends the signal. Resolves with the exit code or signal, and the time until the end. */
async function end(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM") {
  const startedAtMs = performance.now();
  const exited = once(child, "exit", { signal: AbortSignal.timeout(15_000) });
  child.kill(signal);
  const [code, endedBy] = (await exited) as [number | null, string | null];
  return { code, endedBy, afterMs: performance.now() - startedAtMs };
}

describe("squelch serve, with a full pipe as its stdout (pitfall 63)", () => {
  it("serves with bounded memory, ends at SIGTERM, and logs how many lines it dropped", async () => {
    const redis = await startRedis();
    closers.push(() => redis.stop());
    const pipe = fullPipe();
    const { child, url } = await serve(pipe.writeEnd, ["--redis-url", redis.url, "--log-level", "debug"]);
    const publisher = new Redis(redis.url);
    closers.push(() => publisher.disconnect());
    // Each of these calls writes a line at level debug, 6 MB in all.
    let published = 0;
    const publish = async () => {
      const updates = Array.from({ length: 2_500 }, (_, index) => ({
        eventId: "festival",
        userId: `user-${index % 100}`,
        channelIds: [`channel-${published + index}`],
      }));
      published += updates.length;
      await Promise.all(updates.map((update) => publisher.publish("vp:membership_updates", JSON.stringify(update))));
      const newest = updates.at(-1);
      await waitFor(async () => {
        const answer = await fetch(`${url}/squelch.v1.PermissionService/GetUserPermissions`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ eventId: "festival", userId: newest?.userId }),
        });
        const { channelIds } = (await answer.json()) as { channelIds?: string[] };
        return channelIds?.[0] === newest?.channelIds[0];
      });
    };
    for (let round = 0; round < 12; round++) await publish();
    expect((await processMemoryMib(child.pid as number)).peak).toBeLessThan(400);

    let text = pipe.read();
    await waitFor(() => {
      text += pipe.read();
      return text.includes("log lines dropped");
    });
    const lines = text.split("\n").filter((line) => line.startsWith("{"));
    const dropped = lines.map((line) => JSON.parse(line)).find(({ msg }) => msg.includes("dropped"));
    expect(dropped).toMatchObject({ level: 40, name: "log", droppedLines: expect.any(Number) });
    expect(dropped.droppedLines).toBeGreaterThan(10_000);

    await publish();
    await publish();
    await publish();
    const { code, afterMs } = await end(child);
    expect(code).toBe(0);
    expect(afterMs).toBeLessThan(DRAIN_TIMEOUT_MS);
  }, 60_000);

  it("ends at once at a second signal", async () => {
    const { child, url } = await serve(fullPipe().writeEnd, [], 60_000);
    // A request that never ends delays the drain.
    const { host, port } = new URL(url);
    const socket = connect(Number(port), "127.0.0.1");
    closers.push(() => socket.destroy());
    const path = "/squelch.v1.PermissionService/GetUserPermissions";
    const head = ["content-type: application/json", "content-length: 100", "expect: 100-continue"].join("\r\n");
    socket.write(`POST ${path} HTTP/1.1\r\nhost: ${host}\r\n${head}\r\n\r\n`);
    await once(socket, "data");
    child.kill("SIGTERM");
    await waitFor(async () => (await fetch(`${url}/readyz`).catch(() => ({ status: 503 }))).status === 503);
    expect(isRunning(child)).toBe(true);
    const { code, afterMs } = await end(child, "SIGINT");
    expect(code).toBe(1);
    expect(afterMs).toBeLessThan(1_000);
  });
});

it("squelch serve continues when the reader of its log has ended", async () => {
  const pipe = fullPipe();
  const { child, url } = await serve(pipe.writeEnd, ["--log-level", "debug"]);
  pipe.closeReader();
  // Each call is logged at level debug, because it cannot be answered.
  for (let call = 0; call < 3; call++) {
    await fetch(`${url}/squelch.v1.PermissionService/GetUserPermissions`, { method: "POST", body: "{" });
  }
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  expect(await end(child)).toMatchObject({ code: 0 });
});

it("squelch serve continues when the disk of its log is full", async () => {
  const disk = openSync("/dev/full", "w");
  closers.push(() => closeSync(disk));
  const { child, url } = await serve(disk);
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  expect(await end(child)).toMatchObject({ code: 0 });
});

it("squelch router ends at SIGTERM with a full pipe as its stdout (pitfall 63)", async () => {
  const replica = await startSquelch();
  closers.push(() => replica.close());
  const port = await findFreePort();
  const args = ["router", "--address", replica.grpcAddress, "--listen", `127.0.0.1:${port}`];
  const child = await run(args, fullPipe().writeEnd, { SQUELCH_JWT_SECRET: "secret" });
  await waitFor(() =>
    fetch(`http://127.0.0.1:${port}/`).then(
      ({ status }) => status === 426,
      () => false,
    ),
  );
  const { code, afterMs } = await end(child);
  expect(code).toBe(0);
  expect(afterMs).toBeLessThan(2_000);
});

// These programs have nothing to close, so the signal itself may end them at any time.
it.each(["demo", "watch", "watch --json", "status", "permissions festival", "completion bash", "--help"])(
  "squelch %s ends at SIGTERM with a full pipe as its stdout (pitfall 63)",
  async (command) => {
    const replica = await startSquelch();
    closers.push(() => replica.close());
    const child = await run(command.split(" "), fullPipe().writeEnd, { SQUELCH_ADDRESS: replica.grpcAddress });
    // The program hangs when it waits for stdout, because no program ends before its output is read.
    const ticksOf = () => execFileSync("ps", ["-o", "cputimes=", "-p", `${child.pid}`]).toString();
    let before = "";
    await waitFor(async () => {
      const now = ticksOf();
      const isIdle = now === before;
      before = now;
      await new Promise((resolve) => setTimeout(resolve, 1_100));
      return isIdle;
    });
    expect(isRunning(child)).toBe(true);
    const { afterMs } = await end(child);
    expect(afterMs).toBeLessThan(1_000);
  },
);

async function runOnFullTerminal(args: readonly string[], env: Record<string, string> = {}) {
  const python = await startChild(
    PYTHON,
    ["test/support/output/fullTerminal.py", process.execPath, "bin/squelch", ...args],
    {
      env: { PATH: process.env.PATH, TERM: "xterm", ...env },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const lines = collectLines(python.stdout);
  const pid = Number(await waitFor(() => lines[0]));
  closers.push(async () => {
    if (lines.length === 1) process.kill(pid, "SIGKILL");
    await endChild(python, "SIGKILL");
  });
  return {
    kill: () => process.kill(pid, "SIGTERM"),
    ended: (timeoutMs: number) => waitFor(() => lines[1], { timeoutMs, message: "the program to end" }),
  };
}

describe("on a terminal that is stopped (pitfall 63)", () => {
  it("squelch serve continues, and ends at SIGTERM", async () => {
    const [grpc, http] = [await findFreePort(), await findFreePort()];
    const { kill, ended } = await runOnFullTerminal([
      "serve",
      ...["--grpc-address", `127.0.0.1:${grpc}`, "--http-address", `127.0.0.1:${http}`],
    ]);
    await untilReady(`http://127.0.0.1:${http}`);
    kill();
    expect(await ended(DRAIN_TIMEOUT_MS)).toBe("0");
  });

  it("squelch watch ends at SIGTERM", async () => {
    const replica = await startSquelch();
    closers.push(() => replica.close());
    const { kill, ended } = await runOnFullTerminal(["watch"], { SQUELCH_ADDRESS: replica.grpcAddress });
    const watchers = async () => (await fetch(`http://${replica.httpAddress}/metrics`)).text();
    await waitFor(async () => (await watchers()).includes("squelch_watchers 1"));
    kill();
    expect(await ended(2_000)).toBe("0");
  });
});
