import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import { type AuditEntry, AuditEntrySchema } from "../../../gen/squelch/v1/audit_service_pb.js";
import { MAX_PAGE_SIZE } from "../../wire/allPages.js";
import { addConnectionOptions, type Connection, type ConnectionOptions, withConnection } from "../connection.js";
import type { CommandContext } from "../context.js";
import { formatTime } from "../output/describe.js";

const DEFAULT_LIMIT = 50;

interface AuditOptions extends ConnectionOptions {
  limit: number;
}

/** Adds `squelch audit [EVENT…]`, which shows the audit trail, newest entries first. */
export function addAuditCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("audit")
    .description("show the audit trail: changes and refused calls, newest first")
    .argument("[events...]", "the events (default: all entries, also those without an event)")
    .option(
      "--limit <count>",
      `the largest number of entries to show (default ${DEFAULT_LIMIT})`,
      parseLimit,
      DEFAULT_LIMIT,
    )
    .addHelpText("after", "\nExamples:\n  squelch audit festival\n  squelch audit --limit 1000 --json | jq .outcome");
  addConnectionOptions(command).action(async (eventIds: string[], options: AuditOptions) => {
    const { output } = context;
    const entries = await withConnection(context, options, (connection) => read(connection, eventIds, options.limit));
    if (options.json) {
      for (const entry of entries) await output.json(AuditEntrySchema, entry);
    } else if (entries.length === 0) await output.line("the audit trail has no entries");
    else await output.table(["TIME", "ACTOR", "CALL", "EVENT", "TARGET", "OUTCOME", "DETAIL"], entries.map(row));
  });
}

async function read({ audit }: Connection, eventIds: string[], limit: number): Promise<AuditEntry[]> {
  const found: AuditEntry[] = [];
  let pageToken = "";
  do {
    const pageSize = Math.min(limit - found.length, MAX_PAGE_SIZE);
    const page = await audit.listAuditEntries({ eventIds, pageSize, pageToken });
    found.push(...page.entries);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && found.length < limit);
  return found;
}

function row({ time, actor, action, eventId, target, outcome, detail }: AuditEntry): string[] {
  return [formatTime(time), actor, action, eventId || "-", target || "-", outcome, detail || "-"];
}

function parseLimit(text: string): number {
  const limit = /^\d{1,7}$/.test(text) ? Number(text) : 0;
  if (limit < 1) throw new InvalidArgumentError("It must be a whole number above 0.");
  return limit;
}
