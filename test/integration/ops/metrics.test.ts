import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import { connect, type WatchClient, watchOn } from "../../support/clients/watchClient.js";
import { WatchedPicture } from "../../support/clients/watchedPicture.js";
import { rowsUnder, unquote } from "../../support/pages.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { type Metric, parseExposition, sampleOf, scrape, scrapeValue } from "../../support/scrape.js";
import { type SquelchProcess, spawnSquelch, startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

let redis: RedisServer;
let squelch: SquelchProcess;
let client: GrpcClient;
const watches: WatchClient[] = [];

beforeAll(async () => {
  redis = await startRedis();
  squelch = await spawnSquelch(["--redis-url", redis.url]);
  client = connect(squelch.grpcAddress);
});
afterEach(() => {
  for (const watch of watches.splice(0)) watch.close();
});
afterAll(async () => {
  client?.close();
  await squelch?.stop();
  await redis?.stop();
});

const permissions = PermissionService.method;
const channels = ChannelService.method;
const publish = (message: string) => redis.cli("PUBLISH", "vp:membership_updates", message);
const sample = (name: string) => scrapeValue(squelch.httpAddress, name);

/** Waits until a sample has grown by that much since `before`. */
async function expectGrowth(before: ReadonlyMap<string, Metric>, growth: Record<string, number>): Promise<void> {
  for (const [name, by] of Object.entries(growth)) {
    const expected = (sampleOf(before, name) ?? 0) + by;
    let now: number | undefined;
    const hasGrown = async () => {
      now = await sample(name);
      return now === expected;
    };
    await waitFor(hasGrown, { message: () => `${name} to be ${expected}; it is ${now}` });
  }
}

async function watch(eventId: string, from?: { epoch: string; revision: number }): Promise<WatchClient> {
  const picture = new WatchedPicture();
  if (from !== undefined) picture.resumeAt(eventId, from);
  const cursors = from === undefined ? [] : [{ eventId, epoch: from.epoch, revision: BigInt(from.revision) }];
  const opened = watchOn(client, { eventIds: [eventId], cursors, checkpointInterval: { seconds: 60n } }, { picture });
  watches.push(opened);
  await opened.caughtUp();
  return opened;
}

describe("/metrics of the built program", () => {
  it("is Prometheus's text format, with names by its conventions and a help for each", async () => {
    const response = await fetch(`http://${squelch.httpAddress}/metrics`);
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const metrics = parseExposition(await response.text());
    expect([...metrics.keys()]).toEqual(
      expect.arrayContaining(["process_cpu_seconds_total", "nodejs_eventloop_lag_p99_seconds"]),
    );
    for (const [name, { type, help }] of [...metrics].filter(([each]) => each.startsWith("squelch_"))) {
      expect(name, "a counter ends with _total, and nothing else does").toMatch(
        type === "counter" ? /_total$/ : /(?<!_total)$/,
      );
      expect(help.length).toBeGreaterThan(0);
      expect(name, "base units").not.toMatch(/_(ms|millis|milliseconds|minutes|kb|mb)(_|$)/);
    }
  });

  it("changes when changes are delivered", async () => {
    const eventId = randomUUID();
    const before = await scrape(squelch.httpAddress);
    const first = await watch(eventId);
    await expectGrowth(before, {
      squelch_watchers: 1,
      squelch_loaded_events: 1,
      'squelch_snapshots_total{reason="initial"}': 1,
      // These are the snapshot and the checkpoint.
      squelch_deliveries_total: 2,
    });
    await publish(JSON.stringify({ eventId, userId: "u1", channelIds: [`${eventId}-a`], action: "x" }));
    await publish("no update");
    await waitFor(() => first.picture.changes.length === 1);
    await expectGrowth(before, {
      squelch_deliveries_total: 3,
      squelch_delivered_changes_total: 1,
      squelch_change_lag_seconds_count: 1,
      'squelch_ingest_updates_total{outcome="applied"}': 1,
      'squelch_ingest_updates_total{outcome="malformed"}': 1,
    });
    await publish(JSON.stringify({ eventId: randomUUID(), userId: "u1", channelIds: [`${eventId}-a`], action: "x" }));
    await expectGrowth(before, { squelch_ingest_foreign_updates_total: 1 });

    first.close();
    await expectGrowth(before, {
      squelch_watchers: 0,
      'squelch_rpc_calls_total{method="WatchPermissions",code="CANCELLED"}': 1,
    });
    const { epoch = "" } = first.picture.events.get(eventId) ?? {};
    const second = await watch(eventId, { epoch, revision: 0 });
    expect(second.error).toBeUndefined();
    await expectGrowth(before, { squelch_resumes_total: 1, squelch_delivered_changes_total: 2 });
  });

  it("counts calls by status, floors by cause, and pauses", async () => {
    const eventId = randomUUID();
    const channelId = `${eventId}-a`;
    const before = await scrape(squelch.httpAddress);
    await client.unary(permissions.setUserChannels, { eventId, userId: "u1", channelIds: [channelId] });
    await client.unary(channels.startPtt, { channelId, userId: "u1" });
    await client.unary(channels.startPtt, { channelId, userId: "u2" });
    await client.unary(permissions.pauseAllSpeakers, { eventId });
    await client.unary(channels.startPtt, { channelId, userId: "u1" });
    await expect(client.unary(channels.startPtt, { channelId: "unknown", userId: "u1" })).rejects.toThrow();
    await expectGrowth(before, {
      squelch_floor_grants_total: 1,
      'squelch_floor_denials_total{cause="receive_only"}': 1,
      'squelch_floor_denials_total{cause="retry_after"}': 1,
      squelch_pauses_total: 1,
      'squelch_rpc_calls_total{method="StartPtt",code="OK"}': 3,
      'squelch_rpc_calls_total{method="StartPtt",code="NOT_FOUND"}': 1,
      'squelch_rpc_duration_seconds_count{method="StartPtt"}': 4,
      'squelch_rpc_duration_seconds_count{method="PauseAllSpeakers"}': 1,
    });
  });

  it("matches docs/operations.md: name, type, labels, help", async () => {
    const metrics = await scrape(squelch.httpAddress);
    const own = [...metrics].filter(([name]) => name.startsWith("squelch_"));
    const rows = rowsUnder("docs/operations.md", "## Metrics");
    expect(rows.map(([name = "", type, , help]) => [unquote(name), type, help])).toEqual(
      own.map(([name, { type, help }]) => [name, type, help]),
    );
    for (const [name = "", , labels = ""] of rows) {
      const documented = labels === "" ? [] : labels.split(", ").map(unquote);
      for (const sample of metrics.get(unquote(name))?.samples.keys() ?? []) {
        const present = [...sample.matchAll(/[{,](\w+)="/g)].map(([, label]) => label);
        expect(new Set(present.filter((label) => label !== "le")), sample).toEqual(new Set(documented));
      }
    }
  });

  it("expose the feed, the watermark and the connections, also while Redis hangs (pitfall 28)", async () => {
    // In a new Redis the watermark is first set by a reconcile, after 4 to 6 s.
    const hasWatermark = async () => ((await sample("squelch_ingest_watermark_lag_seconds")) ?? 60) < 10;
    await waitFor(hasWatermark, { timeoutMs: 20_000, message: "the watermark" });
    const steady = await scrape(squelch.httpAddress);
    expect(sampleOf(steady, "squelch_feed_healthy")).toBe(1);
    expect(sampleOf(steady, "squelch_feed_age_seconds")).toBeLessThan(6);
    expect([...(steady.get("squelch_redis_connected")?.samples ?? [])]).toEqual(
      ["commands", "confirmed", "urgent", "subscriptions"].map((purpose) => [
        `squelch_redis_connected{purpose="${purpose}"}`,
        1,
      ]),
    );
    redis.pause();
    try {
      const isGone = async () => (await sample("squelch_feed_healthy")) === 0;
      await waitFor(isGone, { timeoutMs: 15_000, message: "an unhealthy feed" });
      const broken = "squelch_subscription_interruptions_total";
      const hasBroken = async () => ((await sample(broken)) ?? 0) > (sampleOf(steady, broken) ?? 0);
      await waitFor(hasBroken, { timeoutMs: 15_000, message: "the subscription to be reopened" });
      expect(await sample('squelch_redis_script_errors_total{script="take-ticket"}')).toBeGreaterThan(0);
      expect(await sample('squelch_redis_connected{purpose="subscriptions"}')).toBe(0);
    } finally {
      redis.resume();
    }
    const isBack = async () => (await sample("squelch_feed_healthy")) === 1;
    await waitFor(isBack, { timeoutMs: 40_000, message: "a healthy feed" });
  }, 90_000);
});

describe("the metrics of several replicas in one process", () => {
  it("are separate", async () => {
    const one = await startSquelch();
    const other = await startSquelch();
    const caller = connect(one.grpcAddress);
    try {
      const watching = watchOn(caller, { eventIds: [randomUUID()] });
      await watching.caughtUp();
      expect(await scrapeValue(one.httpAddress, "squelch_watchers")).toBe(1);
      expect(await scrapeValue(other.httpAddress, "squelch_watchers")).toBe(0);
      // A replica in memory has no metrics of Redis.
      expect((await scrape(other.httpAddress)).has("squelch_redis_connected")).toBe(false);
      watching.close();
    } finally {
      caller.close();
      await one.close();
      await other.close();
    }
  });
});

describe("parseExposition", () => {
  it.each([
    ["a sample without a metric", "a 1\n"],
    ["a metric listed twice", "# HELP a x\n# TYPE a gauge\na 1\n# HELP a x\n"],
    ["a sample listed twice", "# HELP a x\n# TYPE a gauge\na 1\na 2\n"],
    ["a sample of another metric", "# HELP a x\n# TYPE a gauge\nb 1\n"],
    ["a value that is not a number", "# HELP a x\n# TYPE a gauge\na undefined\n"],
    ["labels out of shape", "# HELP a x\n# TYPE a gauge\na{b=c} 1\n"],
    [
      "a histogram that shrinks",
      '# HELP a x\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_count 1\n',
    ],
    ["a histogram that does not add up", '# HELP a x\n# TYPE a histogram\na_bucket{le="+Inf"} 1\na_count 2\n'],
    ["a line without an end", "# HELP a x\n# TYPE a gauge\na 1"],
  ])("refuses %s", (_what, text) => {
    expect(() => parseExposition(text)).toThrow();
  });
});
