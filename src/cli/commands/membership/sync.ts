import { createReadStream } from "node:fs";
import { extname } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Command, Option } from "commander";
import {
  type SyncEventMembersRequestSchema,
  SyncEventMembersResponseSchema,
} from "../../../../gen/squelch/v1/permission_service_pb.js";
import type { UserChannels } from "../../../domain/ports/membershipStore.js";
import { addWaitOption, awaitRouters, type WaitOptions } from "../../awaitApplied.js";
import { addConnectionOptions, type ConnectionOptions, withConnection } from "../../connection.js";
import type { CommandContext } from "../../context.js";
import { CommandFailure } from "../../failure.js";
import { MEMBER_FILE_HELP, type MemberFormat, readMemberFile } from "../../memberFile.js";
import { formatCount } from "../../output/describe.js";
import { printable } from "../../output/output.js";
import { ProgressBar } from "../../output/progress.js";

/** The default timeout, ms. It is long because a whole event may have to be sent. */
const DEFAULT_TIMEOUT_MS = 60_000;
/** The approximate number of ids in one message. The message then stays far below the 4 MiB that a replica accepts. */
const MESSAGE_IDS = 5_000;

const FORMATS: Readonly<Record<string, MemberFormat>> = { ".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson" };

interface SyncOptions extends ConnectionOptions, WaitOptions {
  format?: MemberFormat;
  revokeAll: boolean;
}

/** Adds `squelch sync EVENT FILE`, which replaces the channels of all users of an event by those in a file. */
export function addSyncCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("sync")
    .description(
      "replace the channels of all users of an event in one step; users who are not in the file lose all channels",
    )
    .argument("<event>", "the event")
    .argument("<file>", "the file with the users and their channels; - reads standard input")
    .addOption(
      new Option(
        "--format <format>",
        "the format of the file (default: from its extension .ndjson, .jsonl or .csv; ndjson for standard input)",
      ).choices(["ndjson", "csv"]),
    )
    .option("--revoke-all", "accept an empty file, which revokes all channels of all users", false)
    .addHelpText(
      "after",
      `${MEMBER_FILE_HELP}\n\nExamples:\n  squelch sync festival members.csv` +
        `\n  psql --csv -t -c "$QUERY" | squelch sync festival - --format csv`,
    );
  addConnectionOptions(addWaitOption(command), DEFAULT_TIMEOUT_MS).action(
    async (eventId: string, file: string, options: SyncOptions) => {
      const users = await readUsers(context, file, options);
      if (users.length === 0 && !options.revokeAll) {
        throw new CommandFailure(
          `${nameOf(file)} has no users, so all users of ${eventId} would lose all channels; give --revoke-all if this is intended`,
        );
      }
      const { output, stderr } = context;
      const progress = new ProgressBar(stderr, users.length, "users sent");
      await withConnection(context, options, async (connection) => {
        const response = await connection.permissions
          .syncEventMembers(toRequests(eventId, users, progress))
          .finally(() => progress.clear());
        const { changedUsers, revokedUsers, revision } = response;
        if (options.json) await output.json(SyncEventMembersResponseSchema, response);
        else {
          await output.line(
            printable(
              `${eventId}: ${formatCount(users.length, "user")} named, ${changedUsers} changed, ` +
                `${revokedUsers} of them revoked, revision ${revision}`,
            ),
          );
        }
        await awaitRouters(context, connection, options, { eventId, ...response });
      });
    },
  );
}

const nameOf = (file: string) => (file === "-" ? "standard input" : file);

async function readUsers(context: CommandContext, file: string, options: SyncOptions): Promise<UserChannels[]> {
  const format = options.format ?? (file === "-" ? "ndjson" : FORMATS[extname(file).toLowerCase()]);
  if (format === undefined) {
    throw new CommandFailure(`${file} has no known extension; give --format ndjson or --format csv`, 2);
  }
  try {
    return await readMemberFile(file === "-" ? context.stdin : createReadStream(file), format, nameOf(file));
  } catch (error) {
    if (!(error instanceof Error && "syscall" in error)) throw error;
    throw new CommandFailure(`${nameOf(file)} cannot be read: ${error.message}`, 1, { cause: error });
  }
}

async function* toRequests(
  eventId: string,
  users: readonly UserChannels[],
  progress: ProgressBar,
): AsyncGenerator<MessageInitShape<typeof SyncEventMembersRequestSchema>> {
  let first = 0;
  do {
    progress.show(first);
    let last = first;
    for (let ids = 0; ids < MESSAGE_IDS && last < users.length; last++) {
      ids += 1 + (users[last]?.channelIds.length ?? 0);
    }
    yield { eventId, users: users.slice(first, last) };
    first = last;
  } while (first < users.length);
  progress.show(first);
}
