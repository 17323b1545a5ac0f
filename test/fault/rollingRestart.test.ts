import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { CHECKPOINT_INTERVAL_MS, observeRouter } from "../support/clients/observedRouter.js";
import { startSteadyLoad } from "../support/clients/steadyLoad.js";
import { connect, watchOn } from "../support/clients/watchClient.js";
import { establishedConnections } from "../support/establishedConnections.js";
import { startRedis } from "../support/redis/startRedis.js";
import { type SquelchProcess, spawnSquelch } from "../support/startSquelch.js";
import { waitFor } from "../support/waitFor.js";
import { CpuWaits, waitedBetween } from "../torture/fleet/cpuWaits.js";

const EVENTS = 8;
const ROUTERS = 24;
const USERS = 10;
const UPDATES_PER_SECOND = 75;
const REPLICAS = 3;

const watches = ({ lines }: SquelchProcess) => lines.filter((line) => line.includes('"msg":"watch opened"')).length;
/** When each watch ended, by the replica's clock, ms. */
const closings = ({ lines }: SquelchProcess): number[] =>
  lines.filter((line) => line.includes('"msg":"watch closed"')).map((line) => JSON.parse(line).time);

describe("three replicas restarted in turn under load", () => {
  // Each replica has an address of its own, so that no connection to a port that is free for the moment takes that port.
  it.concurrent.for<["SIGTERM" | "SIGKILL", number | null, firstHost: number]>([
    ["SIGTERM", 0, 2],
    ["SIGKILL", null, 5],
  ])(
    "(%s) no change is lost or repeated, routers resume, and come back staggered (G1, G2, G3, pitfalls 30, 34)",
    { timeout: 600_000 },
    async ([signal, exitCode, firstHost], { onTestFinished }) => {
      const redis = await startRedis();
      onTestFinished(() => redis.stop());
      const spawnReplica = (address: string) =>
        spawnSquelch(["--redis-url", redis.url, "--grpc-address", address, "--drain-timeout", "5000"]);
      const hosts = Array.from({ length: REPLICAS }, (_, index) => `127.0.0.${firstHost + index}`);
      const replicas = await Promise.all(hosts.map((host) => spawnReplica(`${host}:0`)));
      onTestFinished(async () => {
        await Promise.all(replicas.map((replica) => replica.stop()));
      });
      const cpuWaits = new CpuWaits(() => replicas.map(({ pid }) => pid));
      onTestFinished(() => cpuWaits.close());
      const addresses = replicas.map(({ grpcAddress }) => grpcAddress);
      const eventIds = Array.from({ length: EVENTS }, () => randomUUID());
      const load = startSteadyLoad({
        redisUrl: redis.url,
        addresses,
        eventIds,
        users: USERS,
        updatesPerSecond: UPDATES_PER_SECOND,
      });
      onTestFinished(() => load.stop());
      const routers = Array.from({ length: ROUTERS }, (_, index) => observeRouter(`router-${index}`, addresses));
      onTestFinished(async () => {
        await Promise.all(routers.map(({ client }) => client.close()));
      });
      const everyRouterIsFresh = () =>
        waitFor(() => routers.every(({ client }) => client.isFresh), { timeoutMs: 120_000, message: "fresh routers" });
      await everyRouterIsFresh();
      await waitFor(() => load.updates > EVENTS * USERS, { timeoutMs: 120_000, message: "the load to run" });

      replicas.sort((one, other) => watches(other) - watches(one));
      const returns: number[][] = [];
      const [mostUsed] = replicas as [SquelchProcess];
      for (const [index, replica] of replicas.entries()) {
        const signalledAtMs = performance.now();
        replica.kill(signal);
        expect(await replica.exited).toBe(exitCode);
        replicas[index] = await spawnReplica(replica.grpcAddress);
        await everyRouterIsFresh();
        // As an operator would, who waits until a replica is used before the next one goes.
        const isUsed = async () => (await establishedConnections(replica.grpcAddress)) >= ROUTERS;
        await waitFor(isUsed, { timeoutMs: 120_000, message: "the routers to have found the replica again" });
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
      expect(first.length).toBeGreaterThanOrEqual(ROUTERS / REPLICAS);
      // At SIGTERM the replica sees to it, else each router does.
      const turns = signal === "SIGTERM" ? closings(mostUsed) : first;
      expect(turns.length).toBeGreaterThanOrEqual(ROUTERS / REPLICAS);
      expect(Math.max(...turns) - Math.min(...turns), `in turn at ${turns}`).toBeGreaterThan(50);
      const awayMs = absences
        .map(({ fromMs, toMs = Infinity }) => toMs - fromMs - waitedBetween(cpuWaits.records, fromMs, toMs))
        .sort((one, other) => one - other);
      expect(awayMs[Math.floor(awayMs.length / 2)], "the median absence").toBeLessThan(CHECKPOINT_INTERVAL_MS);
    },
  );
});
