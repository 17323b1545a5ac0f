import { expect, test } from "vitest";
import { REPLICA_SILENCE_MS, type ReplicaReport } from "../../../src/domain/fleet.js";
import { freshId, type GetEngine } from "../fixtures.js";

const reportOf = (replicaId: string): ReplicaReport => ({
  replicaId,
  version: "1.2.3",
  grpcAddress: "127.0.0.1:1",
  httpAddress: "[::1]:2",
  uptimeMs: 42,
  feedHealthy: true,
  feedAgeMs: 7,
  watches: 3,
  loadedEvents: 2,
  routerIds: ['a "quoted" router', "b c"],
});

/** Tests that an engine stores the reports of replicas. */
export function describeFleet(getEngine: GetEngine): void {
  const find = async (replicaId: string) => {
    const { replicas, nowMs } = await getEngine().readReplicas();
    const found = replicas.find((replica) => replica.replicaId === replicaId);
    if (found !== undefined) expect(nowMs - found.seenMs).toBeLessThan(REPLICA_SILENCE_MS);
    return found;
  };

  test("the last report of a replica is kept until the replica leaves", async () => {
    const engine = getEngine();
    const [one, other] = [reportOf(freshId("replica")), reportOf(freshId("replica"))];
    await engine.noteReplica(one);
    await engine.noteReplica(other);
    expect(await find(one.replicaId)).toEqual({ ...one, seenMs: expect.any(Number) });
    const { feedAgeMs: _, ...later } = { ...one, feedHealthy: false, routerIds: [] };
    await engine.noteReplica(later);
    expect(await find(one.replicaId)).toEqual({ ...later, seenMs: expect.any(Number) });
    await engine.forgetReplica(one.replicaId);
    await engine.forgetReplica(one.replicaId);
    expect(await find(one.replicaId)).toBeUndefined();
    expect(await find(other.replicaId)).toMatchObject(other);
  });
}
