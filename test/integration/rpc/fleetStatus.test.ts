import { randomUUID } from "node:crypto";
import { durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { afterEach, describe, expect, it } from "vitest";
import type { GetFleetStatusResponse } from "../../../gen/squelch/v1/fleet_service_pb.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import { methods } from "../../support/clients/methods.js";
import { connect } from "../../support/clients/watchClient.js";
import { startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const { getFleetStatus, reportApplied, setUserChannels, watchPermissions } = methods;

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function startReplica(overrides: Record<string, string> = {}) {
  const replica = await startSquelch(overrides);
  closers.push(() => replica.close());
  const client = connect(replica.grpcAddress);
  closers.push(() => client.close());
  return { replica, client };
}

function watchAs(client: GrpcClient, routerId: string, eventId: string) {
  const stream = client.serverStream(watchPermissions, { eventIds: [eventId], routerId });
  stream.on("error", () => undefined);
  closers.push(() => stream.cancel());
  return stream;
}

/** Repeats the call until the answer is as expected, because answers are up to a second old. */
function until(client: GrpcClient, isExpected: (status: GetFleetStatusResponse) => boolean) {
  let last: GetFleetStatusResponse | undefined;
  const ask = async () => {
    last = await client.unary(getFleetStatus, {});
    return isExpected(last) ? last : undefined;
  };
  const options = {
    timeoutMs: 10_000,
    message: () => JSON.stringify(last, (_, v) => (typeof v === "bigint" ? `${v}` : v)),
  };
  return waitFor(ask, options);
}

describe("the status of the fleet", () => {
  it("with the memory engine has the one replica, and routers with their progress", async () => {
    const { replica, client } = await startReplica();
    const { replicas, time } = await until(client, (status) => status.replicas.length === 1);
    const { grpcAddress, httpAddress } = replica;
    expect(replicas[0]).toMatchObject({ grpcAddress, httpAddress, feedHealthy: true, answering: true });
    expect(Math.abs(timestampMs(time ?? ({ seconds: 0n, nanos: 0 } as never)) - Date.now())).toBeLessThan(5_000);

    const eventId = randomUUID();
    const assign = (channelId: string) =>
      client.unary(setUserChannels, { eventId, userId: "anna", channelIds: [channelId] });
    await assign("a");
    const stream = watchAs(client, "r1", eventId);
    const behind = await until(client, ({ routers }) => routers[0]?.replicaIds.length === 1);
    expect(behind.routers[0]).toMatchObject({ routerId: "r1", events: 1, replicaIds: [replicas[0]?.replicaId] });
    expect(behind.routers[0]?.behind).toMatchObject([{ eventId }]);
    expect(behind.routers[0]?.behind[0]?.revisions, "nothing is confirmed").toBeUndefined();

    const epoch = (await client.unary(methods.getUserPermissions, { eventId, userId: "anna" })).cursor?.epoch as string;
    await client.unary(reportApplied, { routerId: "r1", cursors: [{ eventId, epoch, revision: 1n }] });
    await until(client, ({ routers }) => routers[0]?.behind.length === 0);
    await assign("b");
    await assign("c");
    const late = await until(client, ({ routers }) => routers[0]?.behind[0]?.revisions === 2n);
    const age = late.routers[0]?.behind[0]?.age;
    expect(age && durationMs(age)).toBeLessThan(10_000);

    stream.cancel();
    await until(client, ({ routers }) => routers[0]?.replicaIds.length === 0);
  });

  it("with Redis has every replica on each of them, until it leaves", async () => {
    const redis = await startRedis();
    closers.push(() => redis.stop());
    const overrides = { redisUrl: redis.url };
    const one = await startReplica(overrides);
    const other = await startReplica(overrides);
    watchAs(other.client, "r1", randomUUID());
    const { replicas, routers } = await until(
      one.client,
      (status) => status.replicas.length === 2 && status.routers[0]?.replicaIds.length === 1,
    );
    expect(replicas.map(({ replicaId }) => replicaId)).toEqual(replicas.map(({ replicaId }) => replicaId).sort());
    const answering = replicas.find((replica) => replica.answering);
    const silent = replicas.find((replica) => !replica.answering);
    expect([answering?.grpcAddress, silent?.grpcAddress]).toEqual([one.replica.grpcAddress, other.replica.grpcAddress]);
    expect(silent).toMatchObject({ feedHealthy: true, watches: 1, loadedEvents: 1 });
    expect(routers[0]).toMatchObject({ routerId: "r1", replicaIds: [silent?.replicaId], behind: [{}] });

    await other.replica.close();
    await until(one.client, (status) => status.replicas.length === 1);
  });
});
