import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { endChild, findFreePort, isRunning, startChild } from "../../support/childProcess.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { waitFor } from "../../support/waitFor.js";

const started: RedisServer[] = [];

async function start(options?: Parameters<typeof startRedis>[0]): Promise<RedisServer> {
  const redis = await startRedis(options);
  started.push(redis);
  return redis;
}

afterEach(async () => {
  await Promise.all(started.splice(0).map((redis) => redis.stop()));
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe("startRedis", () => {
  it("starts private servers that answer, and ends them with their files", async () => {
    const [first, second] = await Promise.all([start(), start()]);
    expect(first.port).not.toBe(second.port);
    await first.cli("SET", "key", "one value");
    expect(await first.cli("GET", "key")).toBe("one value");
    expect(await second.cli("EXISTS", "key")).toBe("0");
    const dir = (await first.cli("CONFIG", "GET", "dir")).split("\n")[1] ?? "";
    expect(existsSync(dir)).toBe(true);
    await first.stop();
    await first.stop();
    expect(isAlive(first.pid)).toBe(false);
    expect(existsSync(dir)).toBe(false);
  });

  it("rejects an error reply and a port that is taken", async () => {
    const redis = await start();
    await expect(redis.cli("LPOP", "a", "b", "c")).rejects.toThrow(/ERR/);
    await expect(startRedis({ port: redis.port })).rejects.toThrow("Address already in use");
  });

  it("restarts on its port after a kill, empty unless it persists", async () => {
    const redis = await start();
    const durable = await start({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
    for (const server of [redis, durable]) {
      const { pid, url } = server;
      await server.cli("SET", "key", "value");
      await server.kill("SIGKILL");
      expect(isAlive(pid)).toBe(false);
      await expect(server.cli("PING")).rejects.toThrow();
      await server.restart();
      expect(server.url).toBe(url);
      expect(server.pid).not.toBe(pid);
    }
    expect(await redis.cli("GET", "key")).toBe("");
    expect(await durable.cli("GET", "key")).toBe("value");
  });

  it("reports at its end a connection that was left open", async () => {
    const redis = await startRedis();
    const client = await startChild("redis-cli", ["-p", `${redis.port}`], { stdio: ["pipe", "ignore", "inherit"] });
    client.stdin?.write("CLIENT SETNAME squelch-test\n");
    await waitFor(async () => (await redis.cli("CLIENT", "LIST")).includes("name=squelch-test"));
    await expect(redis.stop()).rejects.toThrow("squelch-test");
    expect(isAlive(redis.pid)).toBe(false);
    await endChild(client, "SIGTERM");
  });

  it("answers nothing while it is paused", async () => {
    const redis = await start();
    redis.pause();
    let answered = false;
    const answer = redis.cli("PING").then((text) => {
      answered = true;
      return text;
    });
    await waitFor(async () => /^State:\s+T/m.test(await readFile(`/proc/${redis.pid}/status`, "utf8")));
    expect(answered).toBe(false);
    redis.resume();
    expect(await answer).toBe("PONG");
  });
});

describe("startChild", () => {
  it("ends each program with the process that started it, in every way in which that can end", async () => {
    const port = await findFreePort();
    const dir = await mkdtemp(join(tmpdir(), "squelch-orphan-"));
    const script = `
      import { startRedis } from "./test/support/redis/startRedis.ts";
      const redis = await startRedis({ port: ${port}, dir: "${dir}" });
      console.log(redis.pid);
      setInterval(() => undefined, 1000);`;
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const parent = await startChild(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      let output = "";
      parent.stdout?.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
      const pid = Number(await waitFor(() => output.trim(), { timeoutMs: 10_000, message: "the pid" }));
      try {
        expect(isAlive(pid)).toBe(true);
        parent.kill(signal);
        await waitFor(() => !isRunning(parent) && !isAlive(pid), { message: `the end of redis-server by ${signal}` });
      } finally {
        if (isAlive(pid)) process.kill(pid, "SIGKILL");
      }
    }
    await rm(dir, { recursive: true });
  });
});

describe("waitFor", () => {
  it("resolves with the value, names the awaited condition, and passes errors on", async () => {
    let calls = 0;
    expect(await waitFor(async () => (++calls === 3 ? "value" : undefined))).toBe("value");
    await expect(waitFor(() => false, { timeoutMs: 30, message: "godot" })).rejects.toThrow(
      "30 ms without success for godot",
    );
    await expect(waitFor(() => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
  });
});
