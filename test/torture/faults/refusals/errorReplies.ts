import { createHash } from "node:crypto";
import type { RespCommand } from "../../../support/resp/respProxy.js";
import type { Random } from "../../random.js";

/** Errors with which a working Redis rejects commands, by their codes. */
export const ERROR_TEXTS = {
  LOADING: "LOADING Redis is loading the dataset in memory",
  BUSY: "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
  OOM: "OOM command not allowed when used memory > 'maxmemory'.",
  NOREPLICAS: "NOREPLICAS Not enough good replicas to write.",
  READONLY: "READONLY You can't write against a read only replica.",
  MISCONF: "MISCONF Errors writing to the AOF file: No space left on device",
  MASTERDOWN: "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
  CLUSTERDOWN: "CLUSTERDOWN The cluster is down",
  TRYAGAIN: "TRYAGAIN Multiple keys request during rehashing of slot",
  MOVED: "MOVED 3999 127.0.0.1:6381",
  ASK: "ASK 3999 127.0.0.1:6381",
  NOPERM: "NOPERM this user has no permissions to run the 'evalsha' command",
  NOAUTH: "NOAUTH Authentication required.",
  WRONGPASS: "WRONGPASS invalid username-password pair or user is disabled.",
  NOSCRIPT: "NOSCRIPT No matching script. Please use EVAL.",
  "max number of clients": "ERR max number of clients reached",
  "a denial within a script": "ERR The user executing the script can't run this command or subcommand",
  "a code that is not known": "OVERCAST The server would rather not write today",
} as const;

export type ErrorName = keyof typeof ERROR_TEXTS;

/**
 * The text of an error of a command within a script. It depends on the server's version and on how the script handles
 * it.
 */
const SCRIPT_FORMS = {
  /** The server rejects the whole script. */
  plain: (text: string) => text,
  /** Redis 7: redis.call fails. */
  raised: (text: string, sha: string) => `${text} script: ${sha}, on @user_script:1.`,
  /** Redis 7: the script raises the error of redis.pcall. */
  passedOn: (text: string, sha: string) => `ERR user_script:141: ${text} script: ${sha}, on @user_script:141.`,
  /** Redis 6.2. */
  old: (text: string, sha: string) =>
    `ERR Error running script (call to f_${sha}): @user_script:1: @user_script: 1: -${text}`,
} as const;

type ScriptForm = keyof typeof SCRIPT_FORMS;

export function drawForm(random: Random): ScriptForm {
  return random.pick(Object.keys(SCRIPT_FORMS) as ScriptForm[]);
}

/** Returns the text of an error as a server would answer this command. */
export function errorReplyTo({ name, args }: RespCommand, error: ErrorName, form: ScriptForm): string {
  const text = ERROR_TEXTS[error];
  if (name !== "eval" && name !== "evalsha") return text;
  const [script = Buffer.alloc(0)] = args;
  const sha = name === "evalsha" ? script.toString() : createHash("sha1").update(script).digest("hex");
  return SCRIPT_FORMS[form](text, sha);
}
