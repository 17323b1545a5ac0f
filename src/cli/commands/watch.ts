import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import { WatchPermissionsResponseSchema } from "../../../gen/squelch/v1/permission_service_pb.js";
import { addConnectionOptions, type ConnectionOptions, withConnection } from "../connection.js";
import type { CommandContext } from "../context.js";
import { parseDuration } from "../duration.js";
import { CommandFailure } from "../failure.js";
import { createNarrator } from "../narrator.js";

// What a replica does if it is not told.
const DEFAULT_CHECKPOINT_INTERVAL_MS = 5_000;

interface WatchOptions extends ConnectionOptions {
  user: string[];
  routerId: string;
  checkpointInterval?: number;
}

/** `squelch watch [EVENT…]`: prints what a router would be told, until it is stopped or the stream ends. */
export function addWatchCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("watch")
    .description("print permission changes as they happen, as a router is told them")
    .argument("[events...]", "the events; without one, all, those created later included")
    .option("--user <user>", "only changes of this user; may be repeated", collect, [])
    .option("--router-id <id>", "be this router, for which --wait then waits in vain (default: none)", "")
    .option("--checkpoint-interval <time>", "the longest silence, 1s to 60s (default 5s)", parseDuration)
    .addHelpText(
      "after",
      "\nIt does not reconnect: when the stream ends it says why and exits with 1." +
        "\n\nExamples:\n  squelch watch festival\n  squelch watch --user anna --json | jq .changes",
    );
  addConnectionOptions(command).action(async (eventIds: string[], options: WatchOptions) => {
    const { output } = context;
    const narrate = createNarrator(output);
    const { checkpointInterval } = options;
    const request = {
      eventIds,
      userIds: options.user,
      routerId: options.routerId,
      ...(checkpointInterval === undefined ? {} : { checkpointInterval: durationFromMs(checkpointInterval) }),
    };
    await withConnection(context, options, async ({ permissions, address, timeoutMs }) => {
      // A watch has no deadline, but a replica that is alive sends a checkpoint now and then.
      const longestSilenceMs = timeoutMs + (checkpointInterval ?? DEFAULT_CHECKPOINT_INTERVAL_MS);
      const silence = new AbortController();
      const listen = (ms: number) => setTimeout(() => silence.abort(), ms);
      let timer = listen(timeoutMs);
      try {
        for await (const response of permissions.watchPermissions(request, { timeoutMs: 0, signal: silence.signal })) {
          clearTimeout(timer);
          if (options.json) await output.json(WatchPermissionsResponseSchema, response);
          else await narrate(response);
          timer = listen(longestSilenceMs);
        }
      } catch (error) {
        if (!silence.signal.aborted) throw error;
        throw new CommandFailure(`${address} fell silent, not even a checkpoint came; start the watch again`);
      } finally {
        clearTimeout(timer);
      }
      throw new CommandFailure(`${address} ended the watch without an error; start it again`);
    });
  });
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}
