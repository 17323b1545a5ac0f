import { randomUUID } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { status } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { FleetService } from "../../../gen/squelch/v1/fleet_service_pb.js";
import type { Engine } from "../../../src/domain/ports/engine.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import type { Replica } from "../../../src/server/start.js";
import { methods } from "../../support/clients/methods.js";
import { connect } from "../../support/clients/watchClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { scrapeValue } from "../../support/scrape.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const { getUserPermissions, listAuditEntries, reconcileMemberships } = methods;

let redis: RedisServer;
let replica: Replica;
let client: GrpcClient;
/** The tickets of the reconciles that have begun to write, one for each write. */
let writes: number[];
/** Holds back the first write of a reconcile; undefined if none is to be held back. */
let held: Promise<void> | undefined;
let release: () => void;
/** Answers like a fast store while it is closed. */
let skipsWrites: boolean;

function holdWrites(engine: Engine): Engine {
  return {
    ...engine,
    async applyMemberships(eventId, updates) {
      const [update] = updates;
      if (update?.isReconciled) {
        writes.push(update.position.generation);
        await held;
        if (skipsWrites) return [];
      }
      return await engine.applyMemberships(eventId, updates);
    },
  };
}

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis?.stop());

/** Starts a replica with two events. In each of them a reconcile has something to write. */
beforeEach(async () => {
  await redis.cli("FLUSHALL");
  held = undefined;
  release = () => undefined;
  skipsWrites = false;
  writes = [];
  replica = await startSquelch({ redisUrl: redis.url, drainTimeoutMs: "10000" }, { decorateEngine: holdWrites });
  client = connect(replica.grpcAddress);
  await client.unary(reconcileMemberships, {});
  for (const eventId of [randomUUID(), randomUUID()]) {
    const userId = `user-${eventId}`;
    const [known, missed] = [`${eventId}-a`, `${eventId}-b`];
    const publish = (user: string, channelIds: string[]) =>
      redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify({ eventId, userId: user, channelIds }));
    await redis.cli("SADD", `u.${userId}.g`, known);
    await publish(`other-${eventId}`, [known, missed]);
    await publish(userId, [known]);
    await waitFor(async () => {
      const { channelIds } = await client.unary(getUserPermissions, { eventId, userId });
      return channelIds.length === 1;
    });
    await redis.cli("SADD", `u.${userId}.g`, missed);
  }
  writes = [];
  held = new Promise((resolve) => {
    release = resolve;
  });
});
afterEach(async () => {
  release();
  client.close();
  await replica.close();
});

/** Lets the held write continue, and waits until a later reconcile has found the remaining differences. */
async function expectStopped(): Promise<void> {
  expect(writes).toHaveLength(1);
  release();
  const { changedUsers } = await client.unary(reconcileMemberships, {});
  expect(changedUsers, "the remaining difference").toBe(1);
  const [stopped, ...later] = writes;
  expect(later).not.toContain(stopped);
}

/** The outcomes of reconciles in the audit trail, the newest first. */
async function recordedOutcomes(): Promise<string[]> {
  const { entries } = await client.unary(listAuditEntries, {});
  return entries.filter(({ action }) => action === "ReconcileMemberships").map(({ outcome }) => outcome);
}

const failedCount = () => scrapeValue(replica.httpAddress, 'squelch_reconciles_total{outcome="failed"}');
const callCount = (code: string) =>
  scrapeValue(replica.httpAddress, `squelch_rpc_calls_total{method="ReconcileMemberships",code="${code}"}`);

describe("a reconcile stops its work", () => {
  it("when its client cancels it over gRPC", async () => {
    const calling = new AbortController();
    const answer = client.unary(reconcileMemberships, {}, { signal: calling.signal });
    const refused = expect(answer).rejects.toMatchObject({ code: status.CANCELLED });
    await waitFor(() => writes.length === 1);
    calling.abort();
    await refused;
    await waitFor(async () => (await callCount("CANCELLED")) === 1);
    await expectStopped();
    expect(await failedCount()).toBe(0);
    await waitFor(async () => (await recordedOutcomes()).includes("CANCELLED"));
  });

  it("when its client cancels it over HTTP", async () => {
    const transport = createConnectTransport({ baseUrl: `http://${replica.httpAddress}`, httpVersion: "1.1" });
    const calling = new AbortController();
    const answer = createClient(FleetService, transport).reconcileMemberships({}, { signal: calling.signal });
    const refused = expect(answer).rejects.toThrow("canceled");
    await waitFor(() => writes.length === 1);
    calling.abort();
    await refused;
    await waitFor(async () => (await callCount("CANCELLED")) === 1);
    await expectStopped();
  });

  it("when its deadline passes", async () => {
    const deadline = Date.now() + 3_000;
    const answer = client.unary(reconcileMemberships, {}, { deadline });
    const refused = expect(answer).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await waitFor(() => writes.length === 1);
    await refused;
    await expectStopped();
  });

  it("when the replica shuts down, and the error says so at once", async () => {
    const refused = expect(client.unary(reconcileMemberships, {})).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: expect.stringContaining("shutting down"),
    });
    await waitFor(() => writes.length === 1);
    skipsWrites = true;
    const closed = replica.close();
    await refused;
    release();
    await closed;
    expect(writes).toHaveLength(1);
  });

  it("but not while another call still waits for it", async () => {
    const calling = new AbortController();
    const cancelled = client.unary(reconcileMemberships, {}, { signal: calling.signal });
    const refused = expect(cancelled).rejects.toMatchObject({ code: status.CANCELLED });
    await waitFor(() => writes.length === 1);
    // These two calls share the next reconcile.
    const given = client.unary(reconcileMemberships, {}, { signal: calling.signal });
    const givenUp = expect(given).rejects.toMatchObject({ code: status.CANCELLED });
    const kept = client.unary(reconcileMemberships, {});
    calling.abort();
    await Promise.all([refused, givenUp]);
    release();
    expect(await kept).toMatchObject({ changedUsers: 1 });
  });
});
