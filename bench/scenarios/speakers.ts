import { PermissionService } from "../../gen/squelch/v1/permission_service_pb.js";
import { createEvent, takeFloors } from "../support/busyChannels.js";
import { readSpeakersChannelByChannel } from "../support/publicRouter.js";
import { measureWays, type RoundsOptions, WAY_COLUMNS, type Way } from "../support/rounds.js";
import type { Scenario } from "../support/scenario.js";
import { withEngine, withStack } from "../support/stack.js";

const EVENT_ID = "speakers";

export interface SpeakersOptions extends RoundsOptions {
  /** How many busy channels the event has. */
  channels: number;
}

/** Seeing every speaker of an event. */
export const speakers: Scenario<SpeakersOptions> = {
  name: "speakers",
  title: "Who speaks on every channel of an event, beside one GET after another",
  columns: WAY_COLUMNS,
  full: { channels: 1_000, rounds: 30, warmUpRounds: 5 },
  smoke: { channels: 3, rounds: 2, warmUpRounds: 1 },
  plots: [
    { title: "Who speaks on every channel of an event, median", value: "medianMs", unit: "ms", labels: ["channels"] },
  ],

  run: ({ channels, ...rounds }) =>
    withStack((stack) =>
      withEngine(stack, async (engine) => {
        const { redisClient, grpcClient } = stack;
        const event = await createEvent(engine, EVENT_ID, channels);
        const ways: Way[] = [
          {
            name: "GetEventActiveSpeakers over gRPC",
            async run() {
              const { getEventActiveSpeakers } = PermissionService.method;
              const answer = await grpcClient.unary(getEventActiveSpeakers, { eventId: EVENT_ID });
              return answer.speakers.length;
            },
          },
          {
            name: "engine call in process",
            run: async () => (await engine.getActiveSpeakers(EVENT_ID)).speakers.length,
          },
          {
            name: "one GET after another",
            run: () => readSpeakersChannelByChannel(redisClient, event.channelIds),
          },
        ];
        return measureWays(stack, channels, () => takeFloors(redisClient, event), ways, rounds);
      }),
    ),
};
