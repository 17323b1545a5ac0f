import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  type WatchPermissionsRequestSchema,
  type WatchPermissionsResponse,
  WatchPermissionsResponseSchema,
} from "../../../gen/squelch/v1/permission_service_pb.js";
import { addConnectionOptions, type Connection, type ConnectionOptions, withConnection } from "../connection.js";
import type { CommandContext } from "../context.js";
import { createNarrator } from "../demo/narrator.js";
import { CommandFailure } from "../failure.js";
import { untilStopped } from "../lifetime.js";
import { parseDurationText } from "../output/duration.js";
import { LivePicture } from "../output/livePicture.js";
import type { Colors } from "../output/output.js";
import { Screen, type Terminal } from "../output/screen.js";

// The default of a replica.
const DEFAULT_CHECKPOINT_INTERVAL_MS = 5_000;

interface WatchOptions extends ConnectionOptions {
  user: string[];
  routerId: string;
  checkpointInterval?: number;
  lines: boolean;
}

/**
 * Adds `squelch watch [EVENT…]`, which shows what a router receives, until it is stopped or the stream ends. A terminal
 * shows a live page; other outputs get a line for each change.
 */
export function addWatchCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("watch")
    .description("show the changes that a router receives: a live page on a terminal, or lines")
    .argument("[events...]", "the events (default: all, including events created later)")
    .option("--user <user>", "show only changes of this user; may be repeated", collect, [])
    .option(
      "--router-id <id>",
      "watch as a router with this id; --wait then waits for it until its timeout (default: none)",
      "",
    )
    .option(
      "--checkpoint-interval <time>",
      "the longest time between two checkpoints, 1s to 60s (default 5s)",
      parseDurationText,
    )
    .option("--lines", "print lines, also on a terminal", false)
    .addHelpText(
      "after",
      "\nIt does not reconnect: when the stream ends, it prints the reason and exits with 1." +
        "\n\nExamples:\n  squelch watch festival\n  squelch watch --user anna --json | jq .changes",
    );
  addConnectionOptions(command).action(async (eventIds: string[], options: WatchOptions) => {
    const { checkpointInterval } = options;
    const { terminal } = context.output;
    const isLive = terminal !== undefined && !options.json && !options.lines;
    const request = {
      eventIds,
      userIds: options.user,
      routerId: options.routerId,
      withSpeakers: isLive,
      ...(checkpointInterval === undefined ? {} : { checkpointInterval: durationFromMs(checkpointInterval) }),
    };
    await withConnection(context, options, async (connection) => {
      const stopped = new AbortController();
      const intervalMs = checkpointInterval ?? DEFAULT_CHECKPOINT_INTERVAL_MS;
      const responses = follow(connection, request, intervalMs, stopped.signal);
      if (terminal !== undefined && isLive) {
        void untilStopped().then(() => stopped.abort());
        await showLive(responses, terminal, context.output.colors, connection.address);
        if (stopped.signal.aborted) return;
      } else {
        const narrate = createNarrator(context.output);
        for await (const response of responses) {
          if (options.json) await context.output.json(WatchPermissionsResponseSchema, response);
          else await narrate(response);
        }
      }
      throw new CommandFailure(`${connection.address} ended the watch without an error; start it again`);
    });
  });
}

/** Returns the messages of a watch until the stream ends or `stopped` is aborted. */
async function* follow(
  { permissions, address, timeoutMs }: Connection,
  request: MessageInitShape<typeof WatchPermissionsRequestSchema>,
  intervalMs: number,
  stopped: AbortSignal,
): AsyncGenerator<WatchPermissionsResponse> {
  // A watch has no deadline. A replica that works sends regular checkpoints, so silence means that it does not.
  const silence = new AbortController();
  const listen = (ms: number) => setTimeout(() => silence.abort(), ms);
  let timer = listen(timeoutMs);
  const signal = AbortSignal.any([silence.signal, stopped]);
  try {
    for await (const response of permissions.watchPermissions(request, { timeoutMs: 0, signal })) {
      clearTimeout(timer);
      yield response;
      timer = listen(timeoutMs + intervalMs);
    }
  } catch (error) {
    if (stopped.aborted) return;
    if (!silence.signal.aborted) throw error;
    throw new CommandFailure(`${address} fell silent, not even a checkpoint came; start the watch again`);
  } finally {
    clearTimeout(timer);
  }
}

async function showLive(
  responses: AsyncIterable<WatchPermissionsResponse>,
  terminal: Terminal,
  colors: Colors,
  address: string,
): Promise<void> {
  const picture = new LivePicture(address);
  const screen = new Screen(terminal, (size) => picture.lines({ ...size, colors, nowMs: Date.now() }));
  try {
    for await (const response of responses) {
      picture.take(response, Date.now());
      screen.changed();
    }
  } finally {
    screen.close();
  }
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}
