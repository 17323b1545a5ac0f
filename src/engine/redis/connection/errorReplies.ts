/** What Squelch does after an error reply: repeat the command later, or report a defect. */
export type ReplyKind = "tryAgain" | "defect";

/** An error reply of Redis, classified by Squelch. */
export interface ErrorReply {
  /** The code of the error: a key of `ERROR_REPLIES`. */
  code: string;
  kind: ReplyKind;
  /** Names the cause, the code and the remedy. It never holds an id or other data of a command. */
  explanation: string;
  /** True if the rejected command certainly wrote nothing. False if a script may have stopped half way. */
  hasWrittenNothing: boolean;
}

interface KnownReply {
  kind: ReplyKind;
  cause: string;
  remedy: string;
  /** True if Redis gives this reply only before the first write of a script. */
  isBeforeWrites: boolean;
}

const retried = (cause: string, remedy: string, isBeforeWrites = true): KnownReply => ({
  kind: "tryAgain",
  cause,
  remedy,
  isBeforeWrites,
});
const defect = (cause: string, remedy: string): KnownReply => ({
  kind: "defect",
  cause,
  remedy,
  isBeforeWrites: false,
});

/** Every error reply that Squelch knows, by its code. A test compares the table in docs/errors.md with this one. */
export const ERROR_REPLIES = {
  LOADING: retried("Redis is loading its data", "wait until it has finished"),
  BUSY: retried("Redis is busy with a script", "wait, or end the script with SCRIPT KILL"),
  KILLED: retried("An operator ended the script with SCRIPT KILL", "try again"),
  OOM: retried("Redis is full", "raise maxmemory"),
  NOREPLICAS: retried("Redis has too few replicas", "bring them back, or lower min-replicas-to-write"),
  READONLY: retried("Redis is a replica and takes no writes", "connect Squelch to the master"),
  MISCONF: retried("Redis cannot save its data to disk", "look at the log of Redis, and make room on the disk"),
  MASTERDOWN: retried("Redis is a replica without its master", "bring the master back, or connect Squelch to it"),
  CLUSTERDOWN: retried("The Redis Cluster has no master for a slot", "bring its nodes back"),
  TRYAGAIN: retried("The Redis Cluster is moving a slot", "wait until it has finished"),
  MOVED: retried("Another node of the Redis Cluster serves the slot", "wait, or name the Cluster in the URL"),
  ASK: retried("The Redis Cluster is moving a slot", "wait until it has finished"),
  NOPERM: retried("Redis denies its user a right", "grant it with ACL SETUSER", false),
  NOAUTH: retried("Redis asks for a password", "put the user and the password into the URL"),
  WRONGPASS: retried("Redis rejects the user or the password", "correct them in the URL"),
  MAXCLIENTS: retried("Redis has no connection left", "raise maxclients"),
  NOSCRIPT: retried("Redis has lost a script", "try again"),
  EXECABORT: retried("Redis has rejected a transaction", "try again"),
  UNKNOWN: retried("Redis gave an unknown error", "look at the log of the replica", false),
  WRONGTYPE: defect("Another program has overwritten a key of Squelch", "delete the key that the log names"),
  CROSSSLOT: defect("A command names keys of several slots", "report it"),
  SCRIPT: defect("A script of Squelch has failed", "report it"),
  COMMAND: defect("Redis does not know a command of Squelch", "use Redis 6.2 or newer, and rename no commands"),
} as const satisfies Record<string, KnownReply>;

type ReplyCode = keyof typeof ERROR_REPLIES;

/** The prefix that Redis adds to the error of a command that a script has called. It may occur several times. */
const WRAPPER =
  /^(?:-|ERR (?=[A-Z]+ |-|@?user_script:|Error running script)|Error running script \(call to f_[0-9a-f]+\): |@?user_script: ?\d+: )/;
/** The suffix that Redis 7 adds to the error of a command that a script has called. */
const SCRIPT_SUFFIX = / script: [0-9a-f]{40}, on @user_script:(\d+)\.?\s*$/;
/** Errors that Redis gives without a code of their own. */
const SENTENCES: readonly (readonly [RegExp, ReplyCode])[] = [
  [/^max number of clients/, "MAXCLIENTS"],
  [/^The user executing the script can't /, "NOPERM"],
  [/^ACL failure in script/, "NOPERM"],
  [/^Script killed by user/, "KILLED"],
  [/^(invalid password|Client sent AUTH)/, "WRONGPASS"],
  [/^unknown (command|subcommand)/i, "COMMAND"],
  [/^Unknown Redis command called from/, "COMMAND"],
  [/^wrong number of arg/i, "SCRIPT"],
  [/^Error compiling script/, "SCRIPT"],
  [/^(attempt to|bad argument #|stack overflow|too many results to unpack) ?/, "SCRIPT"],
  [/^(Script attempted to access|Write commands not allowed after non deterministic)/, "SCRIPT"],
  [/^Expected .* but found /, "SCRIPT"],
];
const QUOTED = /'[^']*'|"[^"]*"/g;
/** Finds an error code behind a prefix that a proxy between Squelch and Redis has added. */
const PREFIXED_CODE = new RegExp(
  `: ?-?(${Object.entries(ERROR_REPLIES)
    .filter(([, { kind }]) => kind === "tryAgain")
    .map(([code]) => code)
    .join("|")}) `,
);

/** The error of ioredis when a Cluster has redirected a command too often. */
const REDIRECTED = /^Too many Cluster redirections\. Last error: (?:ReplyError: )?(.*)$/s;
/** The number of nested `cause`s of a failure that are searched for an error reply. */
const MAX_CAUSES = 4;

/** Classifies the text of an error reply. A command that failed with an unknown reply is retried. */
export function readErrorReply(message: string): ErrorReply {
  const { text, isInScript } = unwrap(message);
  const code = codeOf(text);
  const { kind, cause, remedy, isBeforeWrites } = ERROR_REPLIES[code];
  const denied = code === "NOPERM" ? deniedRight(text) : "";
  return {
    code,
    kind,
    explanation: `${cause}${denied} (${code}): ${remedy}`,
    hasWrittenNothing: isBeforeWrites || !isInScript,
  };
}

/**
 * Returns the error reply that caused a failure of the store. Undefined if the failure has another cause, such as a
 * broken connection.
 */
export function errorReplyOf(error: unknown): ErrorReply | undefined {
  for (let cause = error, depth = 0; cause instanceof Error && depth < MAX_CAUSES; depth++) {
    if (cause.name === "ReplyError") return readErrorReply(cause.message);
    const redirected = REDIRECTED.exec(cause.message)?.[1];
    if (redirected !== undefined) return readErrorReply(redirected);
    cause = (cause as { lastNodeError?: unknown }).lastNodeError ?? cause.cause;
  }
  return undefined;
}

/** Returns true if Redis denies a command to its user, by an ACL or because an operator has renamed the command. */
export function isDenied(error: unknown): boolean {
  const code = errorReplyOf(error)?.code;
  return code === "NOPERM" || code === "COMMAND";
}

/** The error with which Redis last rejected each connection. It is deleted when the connection becomes ready. */
const rejections = new WeakMap<object, unknown>();

/**
 * Remembers why a connection failed if Redis rejected it with an error reply, for example because of a wrong password.
 */
export function noteRejection(connection: object, error: unknown): void {
  if (errorReplyOf(error) !== undefined) rejections.set(connection, error);
}

/** Notes that a connection has left a server because it is a replica, so that commands on it fail as READONLY. */
export function noteReplica(connection: object): void {
  const text = "READONLY You can't write against a read only replica.";
  rejections.set(connection, Object.assign(new Error(text), { name: "ReplyError" }));
}

/** Forgets why Redis rejected a connection, once it is ready. */
export function forgetRejection(connection: object): void {
  rejections.delete(connection);
}

/** Returns the error with which Redis rejects a connection: {@link errorReplyOf} reads it. Undefined if none is known. */
export function rejectionOf(connection: object): unknown {
  return rejections.get(connection);
}

/**
 * Adds the name of the denied command to an error in which Redis names only the line of the script. Returns any other
 * error unchanged.
 */
export function nameDenied(error: unknown, script: string, lua: string): unknown {
  if (!(error instanceof Error) || error.name !== "ReplyError") return error;
  const { text } = unwrap(error.message);
  if (codeOf(text) !== "NOPERM" || !/this command/.test(text)) return error;
  const [, line] = SCRIPT_SUFFIX.exec(error.message) ?? /user_script: ?(\d+): /.exec(error.message) ?? [];
  const calls = [...(lua.split("\n")[Number(line) - 1] ?? "").matchAll(/redis\.p?call\('([A-Z]+)'/g)];
  const command = calls.length === 1 ? ` to run the '${calls[0]?.[1]}' command` : "";
  const named = `NOPERM this user has no permissions${command} in script '${script}'`;
  return Object.assign(
    new Error(
      error.message.replace(text, () => named),
      { cause: error },
    ),
    { name: "ReplyError" },
  );
}

function unwrap(message: string): { text: string; isInScript: boolean } {
  let text = message.replace(SCRIPT_SUFFIX, "");
  const isInScript = text !== message || /^(ERR )?(@?user_script:|Error running script)/.test(text);
  while (WRAPPER.test(text)) text = text.replace(WRAPPER, "");
  return { text, isInScript };
}

function codeOf(text: string): ReplyCode {
  const [word = ""] = /^[A-Z]+(?= |$)/.exec(text) ?? [];
  if (word !== "ERR" && Object.hasOwn(ERROR_REPLIES, word)) return word as ReplyCode;
  const sentence = text.replace(/^ERR /, "");
  const known = SENTENCES.find(([pattern]) => pattern.test(sentence));
  if (known !== undefined) return known[1];
  return (PREFIXED_CODE.exec(sentence.replace(QUOTED, ""))?.[1] as ReplyCode | undefined) ?? "UNKNOWN";
}

/** Names the right that Redis denies, without the names of keys. */
function deniedRight(text: string): string {
  const command = /to run the '([\w|-]+)' command/.exec(text)?.[1];
  const script = /in script '([\w-]+)'/.exec(text)?.[1];
  const place = script === undefined ? "" : ` in the script ${script}`;
  if (command !== undefined) return `, the command ${command.toUpperCase()}${place}`;
  if (/\bkeys?\b/.test(text)) return " to a key";
  if (/\bchannels?\b/.test(text)) return " to a pub/sub channel";
  return place;
}
