import { PermissionService } from "../../gen/squelch/v1/permission_service_pb.js";
import { type RouterProcess, spawnRouter } from "../../test/support/spawnRouter.js";
import { percentile } from "../report/percentiles.js";
import { SpeakingSockets } from "../servers/speakingSockets.js";
import { type Stack, withStack } from "../servers/stack.js";
import { monotonicUs } from "../support/clock.js";
import type { RoundsOptions } from "../support/rounds.js";
import type { Row, Scenario } from "../support/scenario.js";

/** The access time that 3GPP TS 22.179 asks of mission critical push-to-talk (KPI 1). */
const KPI_1_MS = 300;
const JWT_SECRET = "the secret of the benchmark";
/** The longest wait for a frame, ms. A frame that has not arrived by then is missing. */
const ARRIVAL_TIMEOUT_MS = 10_000;
/** The most attempts at one round. */
const MAX_TRIES = 5;

export interface EmergencyOptions extends RoundsOptions {
  /** The number of reference routers, each in its own process. */
  routers: number;
  /** The number of WebSockets over all routers. Each one speaks on its own channel. */
  sockets: number;
}

interface Sample {
  answeredMs: number;
  /** The delay until each socket was interrupted, ascending. */
  interruptedMs: readonly number[];
  missing: number;
  repeated: number;
}

/** Measures the time from the call that pauses an event to the frame that the last speaker receives. */
export const emergency: Scenario<EmergencyOptions> = {
  name: "emergency",
  title: `The time from PauseAllSpeakers to ptt-interrupted on WebSockets that all speak, compared with the ${KPI_1_MS} ms of 3GPP KPI 1`,
  columns: {
    until: "until",
    routers: "routers",
    sockets: "sockets",
    rounds: "rounds",
    missing: "missing",
    repeated: "repeated",
    p50Ms: "p50 ms",
    p99Ms: "p99 ms",
    limitMs: "KPI 1 ms",
  },
  full: { routers: 4, sockets: 1_000, rounds: 30, warmUpRounds: 3 },
  smoke: { routers: 2, sockets: 6, rounds: 2, warmUpRounds: 1 },
  plots: [{ title: "Time from PauseAllSpeakers, 99th percentile", value: "p99Ms", unit: "ms" }],

  run: (options) =>
    withStack(async (stack) => {
      const routers: RouterProcess[] = [];
      try {
        for (let index = 0; index < options.routers; index++) {
          routers.push(await spawnRouter(`bench-${index}`, [stack.replica.grpcAddress], JWT_SECRET));
        }
        const addresses = routers.map(({ wsAddress }) => wsAddress);
        const sockets = await SpeakingSockets.connect(addresses, JWT_SECRET, "emergency", options.sockets);
        try {
          return toRows(options, await measureRounds(stack, sockets, options));
        } finally {
          sockets.close();
        }
      } finally {
        await Promise.all(routers.map((router) => router.stop()));
      }
    }),
};

async function measureRounds(stack: Stack, sockets: SpeakingSockets, options: EmergencyOptions): Promise<Sample[]> {
  const { rounds, warmUpRounds } = options;
  const samples: Sample[] = [];
  for (let round = -warmUpRounds; round < rounds; round++) {
    const sample = await measureRound(stack, sockets, options.sockets);
    if (round >= 0) samples.push(sample);
  }
  return samples;
}

// On a busy machine a floor may expire before the last one is taken. Then the round is repeated.
async function measureRound(stack: Stack, sockets: SpeakingSockets, count: number): Promise<Sample> {
  for (let tries = 1; ; tries++) {
    await sockets.speak();
    const { speaking, ...sample } = await measureOnce(stack, sockets);
    if (speaking === count) return sample;
    if (tries === MAX_TRIES) throw new Error(`only ${speaking} of ${count} sockets were speaking when the pause came`);
  }
}

async function measureOnce({ grpcClient }: Stack, sockets: SpeakingSockets): Promise<Sample & { speaking: number }> {
  const { pauseAllSpeakers, resumeSpeakers } = PermissionService.method;
  const eventId = "emergency";
  const calledAtUs = monotonicUs();
  const { pause, paused } = await grpcClient.unary(pauseAllSpeakers, { eventId, reason: "bench" });
  const answeredMs = (monotonicUs() - calledAtUs) / 1_000;
  const { atUs, missing, repeated } = await sockets.interruptions(ARRIVAL_TIMEOUT_MS);
  await grpcClient.unary(resumeSpeakers, { eventId, pauseId: pause?.pauseId ?? "" });
  const interruptedMs = atUs.map((us) => (us - calledAtUs) / 1_000).sort((a, b) => a - b);
  return { speaking: paused.length, answeredMs, interruptedMs, missing, repeated };
}

function toRows({ routers, sockets, rounds }: EmergencyOptions, samples: readonly Sample[]): Row[] {
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  const missing = sum(samples.map((sample) => sample.missing));
  const repeated = sum(samples.map((sample) => sample.repeated));
  const row = (until: string, delaysMs: readonly number[], values: Row): Row => ({
    ...{ until, routers, sockets, rounds, ...values },
    ...{ p50Ms: percentile(delaysMs, 50), p99Ms: percentile(delaysMs, 99), limitMs: KPI_1_MS },
  });
  return [
    row(
      "the call is answered",
      samples.map(({ answeredMs }) => answeredMs),
      {},
    ),
    row(
      "a socket is notified, any",
      samples.flatMap(({ interruptedMs }) => interruptedMs),
      { missing, repeated },
    ),
    row(
      "a socket is notified, the last of each round",
      samples.flatMap(({ interruptedMs }) => interruptedMs.at(-1) ?? []),
      { missing, repeated },
    ),
  ];
}
