import { spawnSync } from "node:child_process";
import { startBarePath } from "./bare.js";
import { startEtcdPath } from "./etcd.js";
import { startNatsPath } from "./nats.js";
import type { Path } from "./path.js";
import { startRedisPath, startSquelchPath } from "./redis.js";

interface PathStarter {
  name: string;
  /** The program that the path needs beside Node.js. */
  program: string;
  start(messages: number): Promise<Path>;
}

const starters = {
  squelch: { name: "Squelch", program: "redis-server", start: startSquelchPath },
  redis: { name: "Redis pub/sub", program: "redis-server", start: startRedisPath },
  nats: { name: "NATS core", program: "nats-server", start: () => startNatsPath("nats") },
  natsKv: { name: "NATS JetStream KV watch", program: "nats-server", start: () => startNatsPath("natsKv") },
  etcd: { name: "etcd watch", program: "etcd", start: startEtcdPath },
  bare: { name: "bare http2 writer", program: "node", start: (messages) => startBarePath("bare", messages) },
} satisfies Record<string, PathStarter>;

export type PathKind = keyof typeof starters;

/**
 * Starts the paths one after another, calls `use` with each and stops it, so that they do not compete for the machine.
 * Returns the rows of all paths. A peer that is not installed gets one row that says so.
 *
 * @param messages the most messages that one run will publish
 */
export async function forEachPath<Row>(
  kinds: readonly PathKind[],
  messages: number,
  use: (path: Path, kind: PathKind) => Promise<Row[]>,
): Promise<(Row | { path: string })[]> {
  const rows: (Row | { path: string })[] = [];
  for (const kind of kinds) {
    const { name, program, start }: PathStarter = starters[kind];
    if (spawnSync(program, ["--version"]).error !== undefined) {
      rows.push({ path: `${name}: not installed` });
      continue;
    }
    const path = await start(messages);
    try {
      rows.push(...(await use(path, kind)));
    } finally {
      await path.close();
    }
  }
  return rows;
}
