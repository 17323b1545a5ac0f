import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  type PauseAllSpeakersResponse,
  PauseAllSpeakersResponseSchema,
} from "../../../../gen/squelch/v1/permission_service_pb.js";
import { addWaitOption, awaitRouters, type WaitOptions } from "../../awaitApplied.js";
import { addConnectionOptions, type ConnectionOptions, withConnection } from "../../connection.js";
import type { CommandContext } from "../../context.js";
import { describePause, isCutOnly, SPEAKER_COLUMNS, speakerRow } from "../../output/describe.js";
import { parseDurationText } from "../../output/duration.js";
import { printable } from "../../output/output.js";

interface PauseOptions extends ConnectionOptions, WaitOptions {
  reason: string;
  duration?: number;
  exempt: string[];
  broadcaster?: string;
  requestId: string;
  replace: string;
}

/** Adds `squelch pause EVENT`, which stops every speaker of an event and lets no user speak until the pause ends. */
export function addPauseCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("pause")
    .description("stop every speaker of an event, and let no user speak until the pause ends")
    .argument("<event>", "the event")
    .option("--reason <text>", "the reason that all users see", "")
    .option(
      "--duration <time>",
      "how long the pause lasts, at most 1h; 0 stops the speakers without a pause (default 60s)",
      parseDurationText,
    )
    .option("--exempt <user...>", "users who may still speak", [])
    .option("--broadcaster <user>", "let this user speak on every channel until the pause ends")
    .option(
      "--request-id <id>",
      "if a call with the same id is repeated within an hour, it returns the first outcome",
      "",
    )
    .option("--replace <pause-id>", "replace this existing pause, also one of another dispatcher", "")
    .addHelpText(
      "after",
      '\nExamples:\n  squelch pause festival --reason "Evacuation"\n  squelch pause festival --duration 10m --broadcaster anna\n  squelch pause festival --wait',
    );
  addConnectionOptions(addWaitOption(command)).action(async (eventId: string, options: PauseOptions) => {
    const { reason, duration, exempt, broadcaster, requestId, replace } = options;
    await withConnection(context, options, async (connection) => {
      const response = await connection.permissions.pauseAllSpeakers({
        eventId,
        reason,
        exemptUserIds: exempt,
        requestId,
        replacePauseId: replace,
        ...(duration === undefined ? {} : { duration: durationFromMs(duration) }),
        ...(broadcaster === undefined ? {} : { broadcaster: { userId: broadcaster } }),
      });
      if (options.json) await context.output.json(PauseAllSpeakersResponseSchema, response);
      else await showPause(context, eventId, response);
      await awaitRouters(context, connection, options, { eventId, ...response });
    });
  });
}

async function showPause(
  { output }: CommandContext,
  eventId: string,
  { pause, paused, replacedPauseId }: PauseAllSpeakersResponse,
): Promise<void> {
  if (paused.length === 0) await output.line(printable(`nobody was speaking in ${eventId}`));
  else await output.table([...SPEAKER_COLUMNS], paused.map(speakerRow));
  if (pause === undefined) return;
  await output.line(printable(describePause(pause)));
  if (replacedPauseId !== "") await output.line(printable(`it took the place of pause ${replacedPauseId}`));
  if (!isCutOnly(pause)) await output.line(printable(`lift it with: squelch resume ${eventId}`));
}
