import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { toStoreError } from "../connection/connections.js";
import { nameDenied } from "../connection/errorReplies.js";
import type { CommandConnection } from "../connection/openConnection.js";
import { dropUnused, resolveIncludes } from "./includes.js";

const directory = new URL("../lua/", import.meta.url);

export type ScriptName =
  | "adopt-channels"
  | "apply-memberships"
  | "ban-user"
  | "claim-channels"
  | "claim-reconcile"
  | "disconnect-user"
  | "end-leases"
  | "finish-move"
  | "leave-event"
  | "load-event"
  | "mend-event"
  | "move-channel"
  | "note-owners"
  | "note-replica"
  | "note-router"
  | "pause-all-speakers"
  | "probe-writes"
  | "raise-watermark"
  | "read-bans"
  | "read-replicas"
  | "read-routers"
  | "read-speakers"
  | "read-user-permissions"
  | "release-channel"
  | "release-lock"
  | "renew-epoch"
  | "renew-ptt"
  | "resume-speakers"
  | "set-user-channels"
  | "settle-bans"
  | "start-ptt"
  | "stop-ptt"
  | "sync-members"
  | "take-lock"
  | "take-ticket"
  | "unban-user"
  | "uphold-pause";

interface Script {
  /** Undefined if the number varies. */
  keyCount: number | undefined;
  lua: string;
}

function readLua(file: string): string {
  return readFileSync(new URL(file, directory), "utf8");
}

// By the text with includes: an engine has several runners, and a process may have several engines.
const reduced = new Map<string, string>();

function reduce(text: string): string {
  const lua = reduced.get(text) ?? dropUnused(text);
  reduced.set(text, lua);
  return lua;
}

function readScript(file: string): Script {
  const lua = reduce(resolveIncludes(readLua(file), (name) => readLua(`shared/${name}.lua`)));
  const count = file.match(/-(\d+|n)\.lua$/)?.[1];
  if (count === undefined) throw new Error(`${file}: the name must end with the number of keys, or n`);
  return { keyCount: count === "n" ? undefined : Number(count), lua };
}

// By name. The name of a file ends with the number of its keys, or with `n` where that varies.
function loadScripts(): Map<string, Script> {
  const files = readdirSync(directory, { recursive: true, encoding: "utf8" }).filter(
    (file) => file.endsWith(".lua") && dirname(file) !== "shared",
  );
  return new Map(files.map((file) => [basename(file).replace(/-(\d+|n)\.lua$/, ""), readScript(file)]));
}

export type RunScript = (
  name: ScriptName,
  keys: readonly string[],
  args: readonly (string | number)[],
) => Promise<unknown>;

// Lists, because thousands of users would be too many arguments of a function.
type Command = (keyCount: number, keys: readonly string[], args: readonly (string | number)[]) => Promise<unknown>;

/**
 * Receives each run of a script after it has answered or failed: the script's name, the duration of the round trip in
 * seconds, and the error if it failed.
 */
export type ScriptObserver = (name: ScriptName, seconds: number, hasFailed: boolean, error?: unknown) => void;

/**
 * Returns the runner of all scripts on one connection. It rejects with `unavailable` if Redis cannot be reached, and
 * throws if the number of keys differs from the number in the name of the script's file.
 */
export function createScriptRunner(connection: CommandConnection, observe: ScriptObserver): RunScript {
  const scripts = loadScripts();
  for (const [name, { lua }] of scripts) connection.defineCommand(name, { lua });
  const commands = connection as unknown as Record<string, Command>;
  return async (name, keys, args) => {
    const { keyCount: expected, lua } = scripts.get(name) as Script;
    if (expected !== undefined && expected !== keys.length) {
      throw new Error(`script ${name} takes ${expected} keys, not ${keys.length}`);
    }
    const startedMs = performance.now();
    const seconds = () => (performance.now() - startedMs) / 1_000;
    try {
      const answer = await (commands[name] as Command).call(connection, keys.length, keys, args);
      observe(name, seconds(), false);
      return answer;
    } catch (error) {
      observe(name, seconds(), true, error);
      throw toStoreError(nameDenied(error, name, lua), connection);
    }
  };
}

/** Parses the JSON in an answer of a script; undefined for null. The caller knows its type. */
// biome-ignore lint/suspicious/noExplicitAny: as JSON.parse.
export function parseJson(json: string | null): any {
  return json === null ? undefined : JSON.parse(json);
}
