import { PermissionService } from "../../gen/squelch/v1/permission_service_pb.js";
import { DEFAULT_PAUSE_MS } from "../../src/domain/floor.js";
import type { Engine } from "../../src/domain/ports.js";
import { createEvent, takeFloors } from "../support/busyChannels.js";
import { pauseChannelByChannel } from "../support/publicRouter.js";
import { measureWays, type RoundsOptions, WAY_COLUMNS, type Way } from "../support/rounds.js";
import type { Scenario } from "../support/scenario.js";
import { type Stack, withEngine, withStack } from "../support/stack.js";

export interface PauseOptions extends RoundsOptions {
  /** How many busy channels the event has; measured for each number. */
  channels: readonly number[];
}

/** Silencing every speaker of an event. */
export const pause: Scenario<PauseOptions> = {
  name: "pause",
  title: "Silencing every speaker of an event, beside a public router's way, channel by channel",
  columns: WAY_COLUMNS,
  full: { channels: [10, 100, 1_000], rounds: 30, warmUpRounds: 5 },
  smoke: { channels: [3], rounds: 2, warmUpRounds: 1 },
  plots: [
    { title: "Silencing every speaker of an event, median", value: "medianMs", unit: "ms", labels: ["channels"] },
  ],

  run: ({ channels, ...rounds }) =>
    withStack((stack) =>
      withEngine(stack, async (engine) => {
        const rows = [];
        for (const count of channels) {
          const event = await createEvent(engine, `pause-${count}`, count);
          const prepare = () => takeFloors(stack.redisClient, event);
          const ways: Way[] = [
            pauseOverGrpc(stack, event.eventId),
            pauseInProcess(engine, event.eventId),
            {
              name: "channel by channel",
              run: () => pauseChannelByChannel(stack.redisClient, event.channelIds),
            },
          ];
          rows.push(...(await measureWays(stack, count, prepare, ways, rounds)));
        }
        return rows;
      }),
    ),
};

function pauseOverGrpc({ grpcClient }: Stack, eventId: string): Way {
  const { pauseAllSpeakers, resumeSpeakers } = PermissionService.method;
  let pauseId = "";
  return {
    name: "PauseAllSpeakers over gRPC",
    async run() {
      const answer = await grpcClient.unary(pauseAllSpeakers, { eventId, reason: "bench" });
      pauseId = answer.pause?.pauseId ?? "";
      return answer.paused.length;
    },
    undo: () => grpcClient.unary(resumeSpeakers, { eventId, pauseId }),
  };
}

function pauseInProcess(engine: Engine, eventId: string): Way {
  const request = { eventId, reason: "bench", actor: "bench", durationMs: DEFAULT_PAUSE_MS };
  let pauseId = "";
  return {
    name: "engine call in process",
    async run() {
      const outcome = await engine.pauseAllSpeakers({ ...request, exemptUserIds: [], requestId: "" });
      pauseId = outcome.pause.pauseId;
      return outcome.cut.length;
    },
    undo: () => engine.resumeSpeakers(eventId, pauseId, "bench"),
  };
}
