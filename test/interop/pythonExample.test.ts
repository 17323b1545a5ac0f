import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { endChild, findFreePort, runProgram, startChild } from "../support/childProcess.js";
import { collectLines } from "../support/collectLines.js";
import { startRedis } from "../support/redis/startRedis.js";
import { startSquelch } from "../support/startSquelch.js";
import { PYTHON } from "../support/systemPackages.js";
import { waitFor } from "../support/waitFor.js";

const teardowns: (() => unknown)[] = [];
afterEach(async () => {
  for (const teardown of teardowns.splice(0).reverse()) await teardown();
});

async function generateStubs(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "squelch-stubs-"));
  teardowns.push(() => rm(directory, { recursive: true }));
  const files = (await readdir("proto/squelch/v1")).map((name) => `proto/squelch/v1/${name}`);
  const plugin = "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin";
  await runProgram("protoc", [
    plugin,
    "-I",
    "proto",
    `--python_out=${directory}`,
    `--grpc_python_out=${directory}`,
    ...files,
  ]);
  return directory;
}

it("G1: the Python example follows assignments, and continues after its replica was restarted", async () => {
  const redis = await startRedis();
  teardowns.push(() => redis.stop());
  const grpcAddress = `127.0.0.1:${await findFreePort()}`;
  const start = async () => {
    const replica = await startSquelch({ redisUrl: redis.url, grpcAddress });
    await waitFor(async () => (await fetch(`http://${replica.httpAddress}/readyz`)).ok);
    return replica;
  };
  let squelch = await start();
  teardowns.push(() => squelch.close());
  const example = await startChild(PYTHON, ["examples/python/mirror.py", grpcAddress, "e1"], {
    env: { ...process.env, PYTHONPATH: await generateStubs() },
    stdio: ["ignore", "pipe", "inherit"],
  });
  teardowns.push(() => endChild(example, "SIGTERM"));
  const lines = collectLines(example.stdout);
  const printed = () => lines.map((line) => JSON.parse(line));
  const assign = (userId: string, channelIds: string[]) =>
    redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify({ eventId: "e1", userId, channelIds }));

  await assign("u1", ["a", "b"]);
  await waitFor(() => lines.length === 1);
  await squelch.close();
  squelch = await start();
  await assign("u1", ["b"]);
  await waitFor(() => lines.length === 2);
  expect(printed()).toEqual([
    { eventId: "e1", userId: "u1", channelIds: ["a", "b"], added: ["a", "b"], removed: [], revision: 1 },
    { eventId: "e1", userId: "u1", channelIds: ["b"], added: [], removed: ["a"], revision: 2 },
  ]);
});
