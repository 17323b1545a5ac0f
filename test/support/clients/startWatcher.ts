import { endChild, isRunning, startChild } from "../childProcess.js";
import { collectLines } from "../collectLines.js";
import { type Truthy, waitFor } from "../waitFor.js";

/** The parts of a WatchPermissionsResponse in protobuf JSON that tests read. */
export interface WatchedMessage {
  snapshot?: { complete?: boolean };
  changes?: { eventId: string; changes: { revision: string; membershipChanged?: object }[] };
  checkpoint?: { feedHealthy?: boolean };
}

/** A program that watches permissions and prints each message. */
export interface Watcher {
  /** Waits up to 10 s for the first message for which `pick` returns a value, and resolves with that value. */
  find<T>(pick: (message: WatchedMessage) => T): Promise<Truthy<T>>;
  /** Ends the program. Idempotent. */
  stop(): Promise<void>;
}

/** Starts a program that prints protobuf JSON objects, each on a line of its own or spread over several. */
export async function startWatcher(program: string, args: readonly string[]): Promise<Watcher> {
  const child = await startChild(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  const lines = collectLines(child.stdout);
  const complaints = collectLines(child.stderr);
  return {
    find: (pick) =>
      waitFor(
        () => {
          const found = parseMessages(lines).map(pick).find(Boolean);
          if (!found && !isRunning(child)) throw new Error(`${program} ended:\n${complaints.join("\n")}`);
          return found;
        },
        { timeoutMs: 10_000, message: () => `a message, after:\n${[...lines, ...complaints].join("\n")}` },
      ),
    stop: () => endChild(child, "SIGTERM"),
  };
}

function parseMessages(lines: readonly string[]): WatchedMessage[] {
  const messages: WatchedMessage[] = [];
  let text = "";
  for (const line of lines) {
    text += line;
    if (!/^(\{.*)?\}$/.test(line)) continue;
    messages.push(JSON.parse(text) as WatchedMessage);
    text = "";
  }
  return messages;
}
