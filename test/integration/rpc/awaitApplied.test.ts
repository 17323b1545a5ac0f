import { randomUUID } from "node:crypto";
import { status } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { AwaitAppliedResponse } from "../../../gen/squelch/v1/fleet_service_pb.js";
import { ROUTER_SILENCE_MS } from "../../../src/domain/applied.js";
import { eventKeys } from "../../../src/engine/redis/keys.js";
import type { Replica } from "../../../src/server/start.js";
import { methods } from "../../support/clients/methods.js";
import { connect, watchOn } from "../../support/clients/watchClient.js";
import { signToken, WsClient } from "../../support/clients/wsClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { runCli } from "../../support/runCli.js";
import { spawnRouter } from "../../support/spawnRouter.js";
import { spawnSquelch, startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const SECRET = "the clients' secret";
const { awaitApplied, reportApplied, setUserChannels } = methods;

let redis: RedisServer;
let replicas: Replica[];
/** The event of the running test, and a channel of it. */
let E: string;
let stage: string;
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  redis = await startRedis();
  replicas = [await startSquelch({ redisUrl: redis.url }), await startSquelch({ redisUrl: redis.url })];
});
afterAll(async () => {
  for (const replica of replicas ?? []) await replica.close();
  await redis?.stop();
});

beforeEach(() => {
  E = `event-${randomUUID()}`;
  stage = `stage-${randomUUID()}`;
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Calls on one of the two replicas, or on another. */
function client(replica: 0 | 1 | string) {
  const opened = connect(typeof replica === "string" ? replica : (replicas[replica]?.grpcAddress ?? ""));
  closers.push(() => opened.close());
  return opened;
}

const run = (...argv: string[]) => runCli(argv, { SQUELCH_ADDRESS: replicas[0]?.grpcAddress });

async function startRouters(routerIds: readonly string[], addresses = replicas.map(({ grpcAddress }) => grpcAddress)) {
  expect((await run("assign", E, "anna", stage)).exitCode).toBe(0);
  const routers = await Promise.all(routerIds.map((routerId) => spawnRouter(routerId, addresses, SECRET)));
  for (const router of routers) closers.push(() => router.stop());
  const { length } = routers;
  await waitFor(
    async () => (await run("assign", E, "anna", stage, "--wait")).stdout.includes(`${length} of ${length} routers`),
    { timeoutMs: 10_000, message: "the routers to report" },
  );
  return routers;
}

/** Makes a change through one replica and waits for it on another. Returns the names of the routers that have applied it and of the others. */
async function changeAndAwait(waitOn: 0 | 1, seconds: number) {
  const channelIds = [randomUUID()];
  const { revision, epoch } = await client(0).unary(setUserChannels, { eventId: E, userId: "ben", channelIds });
  return namesOf(
    await client(waitOn).unary(awaitApplied, { eventId: E, revision, epoch, timeout: inSeconds(seconds) }),
  );
}

const inSeconds = (seconds: number) => ({ seconds: BigInt(seconds) });
const namesOf = ({ applied, missing }: Pick<AwaitAppliedResponse, "applied" | "missing">) =>
  [applied, missing].map((routers) => routers.map(({ routerId }) => routerId));

/** Watches as a router that never reports. */
async function watchSilently(replica: 0 | 1 | string, routerId: string): Promise<void> {
  const watch = watchOn(client(replica), { eventIds: [E], routerId });
  closers.push(() => watch.close());
  await watch.caughtUp();
}

/** Resolves when a call waits for the routers of the event. */
const untilAwaited = (on = redis) =>
  waitFor(async () => (await on.cli("PUBSUB", "NUMSUB", eventKeys(E).applied)).endsWith("1"));

/** Changes the stored times of a router as if it had been silent for a minute. */
async function ageRouter(routerId: string): Promise<void> {
  const key = eventKeys(E).routers;
  const entry = JSON.parse(await redis.cli("HGET", key, routerId));
  const longAgo = Date.now() - ROUTER_SILENCE_MS;
  await redis.cli("HSET", key, routerId, JSON.stringify({ ...entry, seenMs: longAgo, heldMs: longAgo }));
}

describe("a change is confirmed", () => {
  it("when every router has acted on it, on each replica", async () => {
    const [router] = await startRouters(["r1", "r2", "r3"]);
    const token = await signToken(SECRET, { userId: "anna", eventId: E, channelIds: [] });
    const anna = await WsClient.connect(router?.wsAddress ?? "", token);
    closers.push(() => anna.socket.terminate());
    await anna.request("join-channel", { channelId: stage });
    const { exitCode, stdout } = await run("assign", E, "anna", "--wait");
    expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/\napplied on 3 of 3 routers after \d+ ms\n$/)]);
    await anna.next("permission-update");
    expect((await run("pause", E, "--wait")).stdout).toMatch(/\napplied on 3 of 3 routers after \d+ ms\n$/);
    for (const replica of [0, 1] as const) {
      expect(await changeAndAwait(replica, 5)).toEqual([["r1", "r2", "r3"], []]);
    }
  });

  it("without a stopped router: it is named, and the tool fails; then with it, when it continues", async () => {
    const [, , stopped] = await startRouters(["r1", "r2", "r3"]);
    stopped?.kill("SIGSTOP");
    const { exitCode, stdout, stderr } = await run("pause", E, "--wait", "2s");
    expect([exitCode, stdout, stderr]).toEqual([
      1,
      expect.stringMatching(/\napplied on 2 of 3 routers after \d+ ms\nMISSING .*\nr3 +revision \d+ of \d+ +\S+Z\n$/),
      expect.stringMatching(/^squelch: revision \d+ of \S+ is not known to be applied on r3; /),
    ]);
    const waiting = changeAndAwait(1, 30);
    stopped?.kill("SIGCONT");
    expect(await waiting).toEqual([["r1", "r2", "r3"], []]);
  });

  it("without a router that was killed, which is named until it has been silent for a minute", async () => {
    const [, killed] = await startRouters(["r1", "r2"]);
    killed?.kill("SIGKILL");
    expect(await changeAndAwait(1, 3)).toEqual([["r1"], ["r2"]]);
    await ageRouter("r2");
    expect(await changeAndAwait(1, 5)).toEqual([["r1"], []]);
    // A forgotten router is removed from the hash when other routers report.
    await waitFor(
      async () => {
        await run("assign", E, "anna", stage);
        await run("assign", E, "anna", "--wait");
        return (await redis.cli("HEXISTS", eventKeys(E).routers, "r2")) === "0";
      },
      { timeoutMs: 15_000, message: "the killed router to be put out of the hash" },
    );
  });

  it("without a router that has sent a farewell", async () => {
    const [, leaving] = await startRouters(["r1", "r2"]);
    await leaving?.stop();
    expect(await changeAndAwait(1, 5)).toEqual([["r1"], []]);
  });

  it("although the replica that received the reports has ended", async () => {
    const other = await spawnSquelch(["--redis-url", redis.url]);
    closers.push(() => other.stop());
    await startRouters(["r1", "r2"], [other.grpcAddress]);
    const write = { eventId: E, userId: "ben", channelIds: [stage] };
    const { revision, epoch } = await client(1).unary(setUserChannels, write);
    await client(0).unary(awaitApplied, { eventId: E, revision, epoch });
    other.kill("SIGKILL");
    await other.exited;
    expect(namesOf(await client(1).unary(awaitApplied, { eventId: E, revision, epoch }))).toEqual([["r1", "r2"], []]);
    expect(await changeAndAwait(0, 1), "they receive nothing more").toEqual([[], ["r1", "r2"]]);
  });

  it("in the epoch that begins when the store has forgotten everything", async () => {
    await startRouters(["r1", "r2"]);
    await redis.cli("FLUSHALL");
    const { epoch } = await waitFor(
      async () => {
        const entry = await redis.cli("HGET", eventKeys(E).routers, "r2");
        return entry.includes("epoch") && (JSON.parse(entry) as { epoch: string });
      },
      { timeoutMs: 10_000, message: "the routers to report the new epoch" },
    );
    expect(await changeAndAwait(1, 5)).toEqual([["r1", "r2"], []]);
    const oldEpoch = client(0).unary(awaitApplied, { eventId: E, revision: 0n, epoch: `not ${epoch}` });
    await expect(oldEpoch).rejects.toMatchObject({ code: status.FAILED_PRECONDITION });
  });
});

describe("AwaitApplied", () => {
  it("waits for a router without reports as long as its watch is open, but not for a tool", async () => {
    await watchSilently(1, "of another make");
    await watchSilently(1, "");
    expect(await changeAndAwait(0, 1)).toEqual([[], ["of another make"]]);
  });

  it("answers within the deadline of the call, also if its own timeout is longer", async () => {
    await watchSilently(0, "r1");
    const request = { eventId: E, timeout: inSeconds(60) };
    expect(namesOf(await client(0).unary(awaitApplied, request, { deadline: Date.now() + 2_000 }))).toEqual([
      [],
      ["r1"],
    ]);
  });

  it("ends when its replica shuts down", async () => {
    const leaving = await startSquelch({ redisUrl: redis.url });
    closers.push(() => leaving.close());
    await watchSilently(1, "r1");
    const waiting = client(leaving.grpcAddress).unary(awaitApplied, { eventId: E, timeout: inSeconds(60) });
    const failed = expect(waiting).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await untilAwaited();
    await leaving.close();
    await failed;
  });

  it("G9: fails when the store cannot be reached, at once or during the wait", async () => {
    const hanging = await startRedis();
    closers.push(() => hanging.stop());
    const replica = await startSquelch({ redisUrl: hanging.url });
    closers.push(() => replica.close());
    await watchSilently(replica.grpcAddress, "r1");
    const wait = (seconds: number) =>
      expect(
        client(replica.grpcAddress).unary(awaitApplied, { eventId: E, timeout: inSeconds(seconds) }),
      ).rejects.toMatchObject({ code: status.UNAVAILABLE });
    const waiting = wait(2);
    await untilAwaited(hanging);
    hanging.pause();
    await waiting;
    await wait(5);
    hanging.resume();
  });

  it.each([
    [{ eventId: "" }, "event_id"],
    [{ eventId: "e", timeout: inSeconds(61) }, "timeout"],
    [{ eventId: "e", epoch: "x".repeat(129) }, "epoch"],
  ])("refuses values out of range, and names the field: %#", async (request, field) => {
    await expect(client(0).unary(awaitApplied, request)).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringContaining(`${field}: `),
    });
  });
});

describe("ReportApplied", () => {
  it.each([
    [{ routerId: "" }, "router_id"],
    [{ routerId: "x".repeat(129) }, "router_id"],
    [{ routerId: "r", cursors: [{ eventId: "e", epoch: "" }] }, "cursors[0].epoch"],
    [{ routerId: "r", cursors: Array.from({ length: 1_001 }, (_, i) => ({ eventId: `${i}`, epoch: "x" })) }, "cursors"],
  ])("refuses values out of range, and names the field: %#", async (request, field) => {
    await expect(client(0).unary(reportApplied, request)).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringContaining(`${field}: `),
    });
  });
});
