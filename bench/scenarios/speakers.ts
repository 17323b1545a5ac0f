import { PermissionService } from "../../gen/squelch/v1/permission_service_pb.js";
import { encodeCall, type LeanCalls, openLeanCalls } from "../clients/leanCalls.js";
import { countFields } from "../clients/scanFields.js";
import { createEvent, takeFloors } from "../servers/busyChannels.js";
import {
  DISTANCE_COLUMN,
  IN_THE_DATA_CENTRE_MS,
  measureAtDistances,
  ON_THIS_MACHINE_MS,
} from "../servers/distances.js";
import { readSpeakersChannelByChannel } from "../servers/publicRouter.js";
import { type Stack, withEngine } from "../servers/stack.js";
import { measureWays, type RoundsOptions, WAY_COLUMNS, type Way } from "../support/rounds.js";
import type { Row, Scenario } from "../support/scenario.js";

const EVENT_ID = "speakers";

export interface SpeakersOptions extends RoundsOptions {
  /** The number of busy channels of the event. */
  channels: number;
  /**
   * The distances from Redis, ms, and the number of channels that other events have there. One measurement for each,
   * ascending.
   */
  distances: readonly { roundTripMs: number; otherChannels: readonly number[] }[];
}

/** Measures how every speaker of an event is listed. */
export const speakers: Scenario<SpeakersOptions> = {
  name: "speakers",
  title: "Lists the speaker of every channel of an event, compared with one GET after another",
  columns: { otherChannels: "channels of\nother events", ...DISTANCE_COLUMN, ...WAY_COLUMNS },
  full: {
    channels: 1_000,
    distances: [
      { roundTripMs: ON_THIS_MACHINE_MS, otherChannels: [0, 10_000] },
      { roundTripMs: IN_THE_DATA_CENTRE_MS, otherChannels: [0] },
    ],
    rounds: 30,
    warmUpRounds: 5,
  },
  smoke: {
    channels: 3,
    distances: [
      { roundTripMs: ON_THIS_MACHINE_MS, otherChannels: [0, 5] },
      { roundTripMs: IN_THE_DATA_CENTRE_MS, otherChannels: [0] },
    ],
    rounds: 2,
    warmUpRounds: 1,
  },
  plots: [
    {
      title: "List the speaker of every channel, median",
      value: "medianMs",
      unit: "ms",
      labels: ["otherChannels", "roundTripMs"],
    },
  ],

  run: ({ distances, ...options }) =>
    measureAtDistances(distances, (stack, { otherChannels }) => measureBesideOthers(stack, options, otherChannels)),
};

function measureBesideOthers(
  stack: Stack,
  { channels, ...rounds }: Omit<SpeakersOptions, "distances">,
  otherChannels: readonly number[],
): Promise<Row[]> {
  const { redisClient, replica } = stack;
  return withEngine(stack, async (engine) => {
    const event = await createEvent(engine, EVENT_ID, channels);
    const calls = await openLeanCalls(replica.grpcAddress);
    const ways: Way[] = [
      readOverGrpc(calls),
      {
        name: "engine call in process",
        run: async () => (await engine.getActiveSpeakers(EVENT_ID)).speakers.length,
      },
      {
        name: "one GET after another",
        run: async () => (await readSpeakersChannelByChannel(redisClient, EVENT_ID)).size,
      },
    ];
    try {
      const rows: Row[] = [];
      let others = 0;
      for (const count of otherChannels) {
        if (count > others) await takeFloors(redisClient, await createEvent(engine, `other-${count}`, count - others));
        others = count;
        const measured = await measureWays(stack, channels, () => takeFloors(redisClient, event), ways, rounds);
        rows.push(...measured.map((row) => ({ otherChannels: count, ...row })));
      }
      return rows;
    } finally {
      calls.close();
    }
  });
}

function readOverGrpc(calls: LeanCalls): Way {
  const { getEventActiveSpeakers } = PermissionService.method;
  const call = encodeCall(getEventActiveSpeakers, { eventId: EVENT_ID });
  return {
    name: "GetEventActiveSpeakers over gRPC",
    run: async () => countFields(await calls.call(call), getEventActiveSpeakers.output.field.speakers),
  };
}
