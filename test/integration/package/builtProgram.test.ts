import { readdir, readFile } from "node:fs/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { runProgram } from "../../support/childProcess.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { type SquelchProcess, spawnSquelch } from "../../support/startSquelch.js";

let redis: RedisServer;
let squelch: SquelchProcess | undefined;

beforeEach(async () => {
  redis = await startRedis();
});
afterEach(async () => {
  await squelch?.stop();
  await redis.stop();
});

async function runTool(...args: string[]): Promise<string> {
  const address = ["--address", squelch?.grpcAddress ?? ""];
  return await runProgram(process.execPath, ["bin/squelch", ...args, ...address]);
}

it("the built program serves from Redis, answers its own tools, and ends with code 0 on SIGTERM", async () => {
  squelch = await spawnSquelch(["--redis-url", redis.url]);
  await runTool("assign", "e1", "u1", "a", "b");
  expect(JSON.parse(await runTool("permissions", "e1", "u1", "--json"))).toMatchObject({ channelIds: ["a", "b"] });
  squelch.kill("SIGTERM");
  expect(await squelch.exited).toBe(0);
  for (const line of squelch.lines) expect(JSON.parse(line)).toMatchObject({ msg: expect.any(String) });
});

it("the built program contains every Lua script unchanged", async () => {
  const list = async (directory: string) => {
    const names = await readdir(`${directory}/src/engine/redis/lua`, { recursive: true });
    const paths = names.filter((name) => name.endsWith(".lua")).sort();
    return Promise.all(
      paths.map(async (name) => [name, await readFile(`${directory}/src/engine/redis/lua/${name}`, "utf8")]),
    );
  };
  expect(await list("dist"), "as of the last npm run build").toEqual(await list("."));
});
