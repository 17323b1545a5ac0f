import { create, toBinary } from "@bufbuild/protobuf";
import { GetEventActiveSpeakersRequestSchema, PermissionService } from "../../gen/squelch/v1/permission_service_pb.js";
import { createEvent, takeFloors } from "../support/busyChannels.js";
import { encodeCall, openLeanCalls } from "../support/leanCalls.js";
import { readSpeakersChannelByChannel } from "../support/publicRouter.js";
import { measureWays, type RoundsOptions, WAY_COLUMNS, type Way } from "../support/rounds.js";
import { scanFields } from "../support/scanFields.js";
import type { Row, Scenario } from "../support/scenario.js";
import { withEngine, withStack } from "../support/stack.js";

const EVENT_ID = "speakers";

export interface SpeakersOptions extends RoundsOptions {
  /** How many busy channels the event has. */
  channels: number;
  /** How many channels other events have; measured for each number, ascending. */
  otherChannels: readonly number[];
}

/** Seeing every speaker of an event. */
export const speakers: Scenario<SpeakersOptions> = {
  name: "speakers",
  title: "Who speaks on every channel of an event, beside one GET after another",
  columns: { otherChannels: "channels of\nother events", ...WAY_COLUMNS },
  full: { channels: 1_000, otherChannels: [0, 10_000], rounds: 30, warmUpRounds: 5 },
  smoke: { channels: 3, otherChannels: [0, 5], rounds: 2, warmUpRounds: 1 },
  plots: [
    {
      title: "Who speaks on every channel, median",
      value: "medianMs",
      unit: "ms",
      labels: ["channels", "otherChannels"],
    },
  ],

  run: ({ channels, otherChannels, ...rounds }) =>
    withStack((stack) =>
      withEngine(stack, async (engine) => {
        const { redisClient, replica } = stack;
        const { getEventActiveSpeakers } = PermissionService.method;
        const request = create(GetEventActiveSpeakersRequestSchema, { eventId: EVENT_ID });
        const call = encodeCall(
          `/${PermissionService.typeName}/${getEventActiveSpeakers.name}`,
          toBinary(GetEventActiveSpeakersRequestSchema, request),
        );
        const event = await createEvent(engine, EVENT_ID, channels);
        const calls = await openLeanCalls(replica.grpcAddress);
        const ways: Way[] = [
          {
            name: "GetEventActiveSpeakers over gRPC",
            async run() {
              const answer = await calls.call(call);
              let speakers = 0;
              const { number } = getEventActiveSpeakers.output.field.speakers;
              scanFields(answer, 0, answer.length, number, () => speakers++);
              return speakers;
            },
          },
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
            if (count > others)
              await takeFloors(redisClient, await createEvent(engine, `other-${count}`, count - others));
            others = count;
            const measured = await measureWays(stack, channels, () => takeFloors(redisClient, event), ways, rounds);
            rows.push(...measured.map((row) => ({ otherChannels: count, ...row })));
          }
          return rows;
        } finally {
          calls.close();
        }
      }),
    ),
};
