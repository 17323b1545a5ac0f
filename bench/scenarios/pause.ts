import { PermissionService } from "../../gen/squelch/v1/permission_service_pb.js";
import { DEFAULT_PAUSE_MS } from "../../src/domain/floor.js";
import type { Engine } from "../../src/domain/ports/engine.js";
import { encodeCall, type LeanCalls, openLeanCalls } from "../clients/leanCalls.js";
import { countFields } from "../clients/scanFields.js";
import { createEvent, takeFloors } from "../servers/busyChannels.js";
import {
  DISTANCE_COLUMN,
  IN_THE_DATA_CENTRE_MS,
  measureAtDistances,
  ON_THIS_MACHINE_MS,
} from "../servers/distances.js";
import { broadcastChannelByChannel, pauseChannelByChannel, speakerKey } from "../servers/publicRouter.js";
import { type Stack, withEngine } from "../servers/stack.js";
import { measureWays, type RoundsOptions, WAY_COLUMNS, type Way } from "../support/rounds.js";
import type { Row, Scenario } from "../support/scenario.js";

const DISPATCHER = "dispatcher";

/** The number of busy channels of the event, and how often it is paused. */
interface PauseSize extends RoundsOptions {
  channels: number;
}

export interface PauseOptions {
  /** The distances from Redis, ms, and what is measured at each. */
  distances: readonly { roundTripMs: number; sizes: readonly PauseSize[] }[];
}

/** Measures how every speaker of an event is silenced and a dispatcher gets every channel. */
export const pause: Scenario<PauseOptions> = {
  name: "pause",
  title:
    "Silences every speaker of an event for a dispatcher's broadcast, compared with the commands of a public router",
  columns: { ...DISTANCE_COLUMN, ...WAY_COLUMNS },
  full: {
    distances: [
      {
        roundTripMs: ON_THIS_MACHINE_MS,
        sizes: [
          { channels: 10, rounds: 30, warmUpRounds: 5 },
          { channels: 100, rounds: 30, warmUpRounds: 5 },
          { channels: 1_000, rounds: 30, warmUpRounds: 5 },
          { channels: 10_000, rounds: 5, warmUpRounds: 1 },
        ],
      },
      {
        roundTripMs: IN_THE_DATA_CENTRE_MS,
        sizes: [
          { channels: 10, rounds: 30, warmUpRounds: 5 },
          { channels: 1_000, rounds: 10, warmUpRounds: 2 },
        ],
      },
    ],
  },
  smoke: {
    distances: [
      { roundTripMs: ON_THIS_MACHINE_MS, sizes: [{ channels: 3, rounds: 2, warmUpRounds: 1 }] },
      { roundTripMs: IN_THE_DATA_CENTRE_MS, sizes: [{ channels: 2, rounds: 1, warmUpRounds: 1 }] },
    ],
  },
  plots: [
    {
      title: "Silence every speaker of an event, median",
      value: "medianMs",
      unit: "ms",
      labels: ["channels", "roundTripMs"],
    },
  ],

  run: ({ distances }) => measureAtDistances(distances, (stack, { sizes }) => measureSizes(stack, sizes)),
};

function measureSizes(stack: Stack, sizes: readonly PauseSize[]): Promise<Row[]> {
  const { redisClient, replica } = stack;
  return withEngine(stack, async (engine) => {
    const calls = await openLeanCalls(replica.grpcAddress);
    try {
      const rows: Row[] = [];
      for (const { channels, ...rounds } of sizes) {
        const event = await createEvent(engine, `pause-${channels}`, channels);
        const { eventId, channelIds } = event;
        const ways: Way[] = [
          pauseOverGrpc(stack, calls, eventId),
          pauseInProcess(engine, eventId),
          {
            name: "channel by channel",
            async run() {
              const cut = await pauseChannelByChannel(redisClient, eventId);
              return Math.min(cut, await broadcastChannelByChannel(redisClient, eventId, DISPATCHER));
            },
          },
        ].map((way) => ({ ...way, check: () => countHeld(stack, channelIds) }));
        rows.push(...(await measureWays(stack, channels, () => takeFloors(redisClient, event), ways, rounds)));
        // The peer reads the channels of all events, so the channels of the next event must be the only ones.
        await redisClient.del("channel:events");
      }
      return rows;
    } finally {
      calls.close();
    }
  });
}

// Counts the channels that the dispatcher holds.
async function countHeld({ redisClient }: Stack, channelIds: readonly string[]): Promise<number> {
  const values = await redisClient.mget(channelIds.map(speakerKey));
  return values.filter((value) => (JSON.parse(value ?? "{}") as { userId?: string }).userId === DISPATCHER).length;
}

function pauseOverGrpc({ grpcClient }: Stack, calls: LeanCalls, eventId: string): Way {
  const { pauseAllSpeakers, resumeSpeakers, getEventActiveSpeakers } = PermissionService.method;
  const request = { eventId, reason: "bench", broadcaster: { userId: DISPATCHER } };
  const call = encodeCall(pauseAllSpeakers, request);
  return {
    name: "PauseAllSpeakers over gRPC",
    run: async () => countFields(await calls.call(call), pauseAllSpeakers.output.field.paused),
    async undo() {
      const { pause } = await grpcClient.unary(getEventActiveSpeakers, { eventId });
      await grpcClient.unary(resumeSpeakers, { eventId, pauseId: pause?.pauseId ?? "" });
    },
  };
}

function pauseInProcess(engine: Engine, eventId: string): Way {
  const request = { eventId, reason: "bench", actor: "bench", durationMs: DEFAULT_PAUSE_MS, exemptUserIds: [] };
  const broadcaster = { userId: DISPATCHER, userName: DISPATCHER };
  let pauseId = "";
  return {
    name: "engine call in process",
    async run() {
      const outcome = await engine.pauseAllSpeakers({ ...request, broadcaster, requestId: "" });
      pauseId = outcome.pause.pauseId;
      return outcome.cut.length;
    },
    undo: () => engine.resumeSpeakers(eventId, pauseId, "bench"),
  };
}
