import { randomUUID } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { establishedConnections } from "../support/establishedConnections.js";
import { CHECKPOINT_INTERVAL_MS, type ObservedRouter, observeRouter } from "../support/observedRouter.js";
import { type RedisServer, startRedis } from "../support/startRedis.js";
import { type SquelchProcess, spawnSquelch } from "../support/startSquelch.js";
import { type SteadyLoad, startSteadyLoad } from "../support/steadyLoad.js";
import { waitFor } from "../support/waitFor.js";
import { connect, watchOn } from "../support/watchClient.js";

const EVENTS = 8;
const ROUTERS = 24;
const USERS = 10;
const UPDATES_PER_SECOND = 75;
/** Each its own, so that no connection to a port that is free for the moment takes that very port. */
const HOSTS = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];

let redis: RedisServer;
let replicas: SquelchProcess[];
let routers: ObservedRouter[];
let load: SteadyLoad | undefined;

const spawnReplica = (address: string) =>
  spawnSquelch(["--redis-url", redis.url, "--grpc-address", address, "--drain-timeout", "5000"]);

const watches = ({ lines }: SquelchProcess) => lines.filter((line) => line.includes('"msg":"watch opened"')).length;

beforeEach(async () => {
  redis = await startRedis();
  routers = [];
  replicas = await Promise.all(HOSTS.map((host) => spawnReplica(`${host}:0`)));
});

afterEach(async () => {
  await Promise.all(routers.map(({ client }) => client.close()));
  await load?.stop();
  await Promise.all(replicas.map((replica) => replica.stop()));
  await redis.stop();
});

async function everyRouterIsFresh(): Promise<void> {
  await waitFor(() => routers.every(({ client }) => client.isFresh), { timeoutMs: 15_000, message: "fresh routers" });
}

describe("three replicas restarted in turn under load", () => {
  it.each<["SIGTERM" | "SIGKILL", number | null]>([
    ["SIGTERM", 0],
    ["SIGKILL", null],
  ])(
    "(%s) no change is lost or repeated, routers resume, and come back staggered (G1, G2, G3, pitfalls 30, 34)",
    async (signal, exitCode) => {
      const addresses = replicas.map(({ grpcAddress }) => grpcAddress);
      const eventIds = Array.from({ length: EVENTS }, () => randomUUID());
      load = startSteadyLoad({
        redisUrl: redis.url,
        addresses,
        eventIds,
        users: USERS,
        updatesPerSecond: UPDATES_PER_SECOND,
      });
      routers = Array.from({ length: ROUTERS }, (_, index) => observeRouter(`router-${index}`, addresses));
      await everyRouterIsFresh();
      await waitFor(() => Number(load?.updates) > EVENTS * USERS, { timeoutMs: 15_000, message: "the load to run" });

      replicas.sort((one, other) => watches(other) - watches(one));
      const returns: number[][] = [];
      for (const [index, replica] of replicas.entries()) {
        const signalledAtMs = performance.now();
        replica.kill(signal);
        expect(await replica.exited).toBe(exitCode);
        replicas[index] = await spawnReplica(replica.grpcAddress);
        await everyRouterIsFresh();
        // As an operator would, who waits until a replica is used before the next one goes.
        const isUsed = async () => (await establishedConnections(replica.grpcAddress)) >= ROUTERS;
        await waitFor(isUsed, { message: "the routers to have found the replica again" });
        const away = routers.flatMap(({ absences }) => absences.filter(({ fromMs }) => fromMs > signalledAtMs));
        returns.push(away.map(({ toMs = 0 }) => toMs));
      }
      await load.stop();

      const reader = connect(addresses[0] as string);
      const watch = watchOn(reader, { eventIds });
      await watch.caughtUp();
      for (const [eventId, users] of load.assigned) {
        for (const [userId, channelIds] of users) {
          await waitFor(() => String(watch.picture.channelsOf(eventId, userId)) === String(channelIds), {
            message: `${userId} of ${eventId} in the store`,
          });
          await waitFor(
            () => routers.every(({ client }) => String(client.permissionsOf(eventId, userId)) === String(channelIds)),
            { message: `${userId} of ${eventId} in every router` },
          );
        }
      }
      expect(watch.error).toBeUndefined();
      watch.close();
      reader.close();

      expect(routers.flatMap(({ breaches }) => breaches)).toEqual([]);
      const absences = routers.flatMap((router) => router.absences);
      expect(Math.min(...routers.map((router) => router.absences.length)), "each lost its stream").toBeGreaterThan(0);
      const snapshots = absences.reduce((sum, absence) => sum + absence.snapshots, 0);
      expect(1 - snapshots / (absences.length * EVENTS), "share of resumes").toBeGreaterThanOrEqual(0.95);
      // The first to go had the most routers, at least a third of them.
      const [first = []] = returns;
      expect(first.length).toBeGreaterThanOrEqual(ROUTERS / HOSTS.length);
      expect(Math.max(...first) - Math.min(...first), `returns at ${first}`).toBeGreaterThan(50);
      const awayMs = absences.map(({ fromMs, toMs = Infinity }) => toMs - fromMs).sort((one, other) => one - other);
      expect(awayMs[Math.floor(awayMs.length / 2)], "the median absence").toBeLessThan(CHECKPOINT_INTERVAL_MS);
    },
    120_000,
  );
});
