import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { fromBinary } from "@bufbuild/protobuf";
import { ChannelService, StartPttResponseSchema } from "../../gen/squelch/v1/channel_service_pb.js";
import type { Engine } from "../../src/domain/ports/engine.js";
import { endChild, startChild } from "../../test/support/childProcess.js";
import { encodeBareCall, encodeCall, type LeanCalls, openLeanCalls } from "../clients/leanCalls.js";
import { percentile } from "../report/percentiles.js";
import { withEngine, withStack } from "../servers/stack.js";
import { processCpuUs } from "../support/processCpu.js";
import type { Row, Scenario } from "../support/scenario.js";

const EVENT_ID = "floor";
const TALK_TIME_MS = 30_000;
const EMPTY_PATH = "/bench.Empty/Call";

export interface FloorOptions {
  /**
   * The number of channels, each with a user who takes and releases the floor again and again. So many calls are in
   * progress at a time.
   */
  channels: number;
  /** The number of call pairs on each channel in a round. */
  pairs: number;
  rounds: number;
  warmUpRounds: number;
}

interface Way {
  name: string;
  /** The process that serves the calls; undefined if it is this process. */
  serverPid: number | undefined;
  /** Takes the floor of a channel. Resolves with whether it was granted. */
  start(channel: number): Promise<boolean>;
  /** Releases the floor. */
  stop(channel: number): Promise<unknown>;
}

interface Sample {
  callsPerSecond: number;
  serverCpuUs: number;
  redisCpuUs: number;
}

/** Measures how the floor is taken and released. */
export const floor: Scenario<FloorOptions> = {
  name: "floor",
  title: "Takes and releases the floor, compared with an empty call of grpc-js and with the scripts without gRPC",
  columns: {
    way: "way",
    calls: "calls",
    callsPerSecond: "calls/s",
    ofEmptyPercent: "% of an\nempty call",
    p50Ms: "p50 ms",
    p99Ms: "p99 ms",
    serverCpuUs: "server CPU\nµs a call",
    redisCpuUs: "Redis CPU\nµs a call",
    missing: "not\ngranted",
  },
  plots: [{ title: "Floor calls a second, compared with the limits", value: "callsPerSecond", unit: "calls/s" }],
  full: { channels: 64, pairs: 50, rounds: 15, warmUpRounds: 3 },
  smoke: { channels: 4, pairs: 3, rounds: 2, warmUpRounds: 1 },

  async run(options) {
    const program = fileURLToPath(new URL("../servers/emptyServer.ts", import.meta.url));
    const emptyServer = await startChild(process.execPath, ["--import", "tsx", program], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    try {
      const [emptyAddress] = (await once(emptyServer, "message")) as [string];
      return await withStack(({ redis, redisUrl, replica }) =>
        withEngine({ redisUrl }, async (engine) => {
          await admitUsers(engine, options.channels);
          const calls = await openLeanCalls(replica.grpcAddress);
          const emptyCalls = await openLeanCalls(emptyAddress);
          try {
            const ways = [
              callOverGrpc(calls, replica.pid, options.channels),
              callEmpty(emptyCalls, emptyServer.pid as number),
              callInProcess(engine),
            ];
            return await measure(ways, redis.pid, options);
          } finally {
            calls.close();
            emptyCalls.close();
          }
        }),
      );
    } finally {
      await endChild(emptyServer, "SIGTERM");
    }
  },
};

const channelOf = (channel: number) => `${EVENT_ID}-channel-${channel}`;
const userOf = (channel: number) => `user-${channel}`;

async function admitUsers(engine: Engine, channels: number): Promise<void> {
  for (let channel = 0; channel < channels; channel++) {
    await engine.setUserChannels({
      eventId: EVENT_ID,
      userId: userOf(channel),
      channelIds: [channelOf(channel)],
      action: "bench",
      actor: "bench",
      onlyIfUnknown: false,
    });
  }
}

function callOverGrpc(calls: LeanCalls, serverPid: number, channels: number): Way {
  const { startPtt, stopPtt } = ChannelService.method;
  const requests = Array.from({ length: channels }, (_, channel) => {
    return { channelId: channelOf(channel), userId: userOf(channel) };
  });
  const starts = requests.map((request) => encodeCall(startPtt, request));
  const stops = requests.map((request) => encodeCall(stopPtt, request));
  return {
    name: "StartPtt, StopPtt over gRPC",
    serverPid,
    async start(channel) {
      const answer = await calls.call(starts[channel] as Buffer);
      return fromBinary(StartPttResponseSchema, answer).outcome.case === "granted";
    },
    stop: (channel) => calls.call(stops[channel] as Buffer),
  };
}

function callEmpty(calls: LeanCalls, serverPid: number): Way {
  const call = encodeBareCall(EMPTY_PATH, Buffer.alloc(0));
  return {
    name: "empty call of grpc-js",
    serverPid,
    start: async () => (await calls.call(call)).length === 0,
    stop: () => calls.call(call),
  };
}

function callInProcess(engine: Engine): Way {
  const leases: number[] = [];
  return {
    name: "the scripts through ioredis",
    serverPid: undefined,
    async start(channel) {
      const outcome = await engine.startPtt({
        channelId: channelOf(channel),
        userId: userOf(channel),
        userName: userOf(channel),
        sessionId: "",
        priority: "normal",
        talkTimeMs: TALK_TIME_MS,
        leaseTimeMs: TALK_TIME_MS,
        actor: "bench",
      });
      if (outcome.granted) leases[channel] = outcome.leaseId;
      return outcome.granted;
    },
    stop: (channel) => engine.stopPtt(channelOf(channel), { leaseId: leases[channel] as number }),
  };
}

// The ways run in turn in each round, so that a disturbance of the machine affects all of them.
async function measure(ways: readonly Way[], redisPid: number, options: FloorOptions): Promise<Row[]> {
  const { channels, pairs, rounds, warmUpRounds } = options;
  const measured = ways.map((way) => ({ way, samples: [] as Sample[], delaysMs: [] as number[], denied: 0 }));
  for (let round = -warmUpRounds; round < rounds; round++) {
    for (const result of measured) {
      const { way } = result;
      const delaysMs: number[] = [];
      const serverPid = way.serverPid ?? process.pid;
      const before = await Promise.all([processCpuUs(serverPid), processCpuUs(redisPid)]);
      const startMs = performance.now();
      const granted = await Promise.all(
        Array.from({ length: channels }, (_, channel) => takeTurns(way, channel, pairs, delaysMs)),
      );
      const elapsedMs = performance.now() - startMs;
      const after = await Promise.all([processCpuUs(serverPid), processCpuUs(redisPid)]);
      if (round < 0) continue;
      const calls = 2 * channels * pairs;
      result.samples.push({
        callsPerSecond: (calls * 1_000) / elapsedMs,
        serverCpuUs: (after[0] - before[0]) / calls,
        redisCpuUs: (after[1] - before[1]) / calls,
      });
      for (const delayMs of delaysMs) result.delaysMs.push(delayMs);
      result.denied += channels * pairs - granted.reduce((sum, count) => sum + count, 0);
    }
  }
  const median = (samples: readonly Sample[], field: keyof Sample) =>
    percentile(
      samples.map((sample) => sample[field]),
      50,
    );
  const empty = measured[1]?.samples ?? [];
  return measured.map(({ way, samples, delaysMs, denied }) => {
    const ofEmpty = samples.map(
      ({ callsPerSecond }, round) => (100 * callsPerSecond) / (empty[round]?.callsPerSecond ?? Number.NaN),
    );
    return {
      way: way.name,
      calls: 2 * channels * pairs * rounds,
      callsPerSecond: Math.round(median(samples, "callsPerSecond")),
      ofEmptyPercent: percentile(ofEmpty, 50),
      p50Ms: percentile(delaysMs, 50),
      p99Ms: percentile(delaysMs, 99),
      // The CPU time of this process would include that of the clients.
      serverCpuUs: way.serverPid === undefined ? undefined : median(samples, "serverCpuUs"),
      redisCpuUs: median(samples, "redisCpuUs"),
      missing: denied,
    };
  });
}

// Returns how often the floor was granted.
async function takeTurns(way: Way, channel: number, pairs: number, delaysMs: number[]): Promise<number> {
  let granted = 0;
  for (let pair = 0; pair < pairs; pair++) {
    const startMs = performance.now();
    if (await way.start(channel)) granted++;
    const grantedMs = performance.now();
    await way.stop(channel);
    delaysMs.push(grantedMs - startMs, performance.now() - grantedMs);
  }
  return granted;
}
