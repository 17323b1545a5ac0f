import { afterEach, beforeEach, expect, it } from "vitest";
import type { Replica } from "../../src/server/start.js";
import { startWatcher, type Watcher } from "../support/clients/startWatcher.js";
import { type RedisServer, startRedis } from "../support/redis/startRedis.js";
import { startSquelch } from "../support/startSquelch.js";

const ASSIGNMENT = '{"eventId":"e1","userId":"u1","channelIds":["a","b"],"action":"set_user_channels"}';

let redis: RedisServer;
let squelch: Replica;
let watcher: Watcher | undefined;

beforeEach(async () => {
  redis = await startRedis();
  squelch = await startSquelch({ redisUrl: redis.url });
});
afterEach(async () => {
  // Without a server the clients end by themselves, and so do buf's child processes.
  await squelch.close();
  await watcher?.stop();
  await redis.stop();
});

function bufCurl(address: string, ...schema: string[]): string[] {
  const method = `http://${address}/squelch.v1.PermissionService/WatchPermissions`;
  return ["curl", "--protocol", "grpc", "--http2-prior-knowledge", ...schema, "-d", '{"eventIds":["e1"]}', method];
}

const WATCHERS: Record<string, [program: string, args: (address: string) => string[]]> = {
  "buf curl with the contract": ["node_modules/.bin/buf", (address) => bufCurl(address, "--schema", "proto")],
  "buf curl by reflection": ["node_modules/.bin/buf", (address) => bufCurl(address)],
};

it.each(Object.entries(WATCHERS))("G3: an assignment of the control plane reaches %s", async (_, [program, args]) => {
  watcher = await startWatcher(program, args(squelch.grpcAddress));
  await watcher.find(({ checkpoint }) => checkpoint?.feedHealthy);
  await redis.cli("PUBLISH", "vp:membership_updates", ASSIGNMENT);
  expect(await watcher.find(({ changes }) => changes)).toMatchObject({
    eventId: "e1",
    changes: [
      {
        revision: "1",
        membershipChanged: {
          userId: "u1",
          channelIds: ["a", "b"],
          added: ["a", "b"],
          action: "set_user_channels",
        },
      },
    ],
  });
});
