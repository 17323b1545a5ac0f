import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SquelchError } from "../../../src/domain/errors.js";
import { toStoreError } from "../../../src/engine/redis/connection/connections.js";
import {
  ERROR_REPLIES,
  errorReplyOf,
  nameDenied,
  readErrorReply,
} from "../../../src/engine/redis/connection/errorReplies.js";
import { read, rowsUnder, unquote } from "../../support/pages.js";

const SHA = "126b8d63a3937fa425ffa939e3ad68ebeb73bd93";
const SUFFIX_7 = ` script: ${SHA}, on @user_script:1.`;
const FULL = "OOM command not allowed when used memory > 'maxmemory'.";
const READONLY = "READONLY You can't write against a read only replica.";
const MISCONF =
  "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.";
const DENIED_IN_SCRIPT = "The user executing the script can't run this command or subcommand";

/** Texts of real servers: where, the whole text, the code, and whether it is certain that nothing was written. */
const TEXTS: [where: string, text: string, code: keyof typeof ERROR_REPLIES, certain: boolean][] = [
  ["a command", FULL, "OOM", true],
  ["a script of 7.0", `${FULL}${SUFFIX_7}`, "OOM", true],
  ["a script of 7.0 that raised it again", `ERR user_script:141: ${FULL}${SUFFIX_7}`, "OOM", true],
  [
    "a script of 6.2",
    `ERR Error running script (call to f_${SHA}): @user_script:1: @user_script: 1: -${FULL} `,
    "OOM",
    true,
  ],
  [
    "a script of 6.2 that raised it again",
    `ERR Error running script (call to f_${SHA}): @user_script:141: ${FULL}`,
    "OOM",
    true,
  ],
  [
    "a script of 6.2 without a second line",
    `ERR Error running script (call to f_${SHA}): @user_script:1: -${FULL}`,
    "OOM",
    true,
  ],
  ["a command", "NOREPLICAS Not enough good replicas to write.", "NOREPLICAS", true],
  ["a script of 7.0", `NOREPLICAS Not enough good replicas to write.${SUFFIX_7}`, "NOREPLICAS", true],
  ["a script of 7.0", `${READONLY}${SUFFIX_7}`, "READONLY", true],
  [
    "a script of 6.2",
    `ERR Error running script (call to f_${SHA}): @user_script:12: @user_script: 12: -${READONLY} `,
    "READONLY",
    true,
  ],
  ["a script of 7.0", `${MISCONF}${SUFFIX_7}`, "MISCONF", true],
  [
    "a script of 6.2",
    `ERR Error running script (call to f_${SHA}): @user_script:12: @user_script: 12: -${MISCONF} `,
    "MISCONF",
    true,
  ],
  ["a command", "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "MASTERDOWN", true],
  ["a start", "LOADING Redis is loading the dataset in memory", "LOADING", true],
  ["a command", "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", "BUSY", true],
  ["a Cluster", "CLUSTERDOWN The cluster is down", "CLUSTERDOWN", true],
  ["a Cluster", "CLUSTERDOWN Hash slot not served", "CLUSTERDOWN", true],
  ["a Cluster", "TRYAGAIN Multiple keys request during rehashing of slot", "TRYAGAIN", true],
  ["a Cluster", "MOVED 3999 127.0.0.1:6381", "MOVED", true],
  ["a Cluster", "ASK 3999 127.0.0.1:6381", "ASK", true],
  ["a Cluster", "CROSSSLOT Keys in request don't hash to the same slot", "CROSSSLOT", true],
  ["EVALSHA", "NOPERM this user has no permissions to run the 'evalsha' command", "NOPERM", true],
  [
    "EVALSHA of 6.2",
    "NOPERM this user has no permissions to run the 'evalsha' command or its subcommand",
    "NOPERM",
    true,
  ],
  ["a key", "NOPERM this user has no permissions to access one of the keys used as arguments", "NOPERM", true],
  ["a script of 7.0", `ERR ${DENIED_IN_SCRIPT}${SUFFIX_7}`, "NOPERM", false],
  ["a script of 7.0 that raised it again", `ERR user_script:5: ERR ${DENIED_IN_SCRIPT}${SUFFIX_7}`, "NOPERM", false],
  [
    "a script of 6.2",
    `ERR Error running script (call to f_${SHA}): @user_script:5: @user_script: 5: ${DENIED_IN_SCRIPT} `,
    "NOPERM",
    false,
  ],
  [
    "a script of 7.2",
    `ERR ACL failure in script: User default has no permissions to run the 'set' command${SUFFIX_7}`,
    "NOPERM",
    false,
  ],
  ["a connection", "NOAUTH Authentication required.", "NOAUTH", true],
  ["a connection", "WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS", true],
  ["a connection", "ERR max number of clients reached", "MAXCLIENTS", true],
  ["a connection", "ERR max number of clients + cluster connections reached", "MAXCLIENTS", true],
  ["EVALSHA", "NOSCRIPT No matching script. Please use EVAL.", "NOSCRIPT", true],
  ["EXEC", "EXECABORT Transaction discarded because of previous errors.", "EXECABORT", true],
  ["a killed script", `ERR user_script:3: Script killed by user with SCRIPT KILL...${SUFFIX_7}`, "KILLED", true],
  [
    "a script of 7.0",
    `WRONGTYPE Operation against a key holding the wrong kind of value${SUFFIX_7}`,
    "WRONGTYPE",
    false,
  ],
  ["a script", `ERR user_script:1: attempt to index local 'x' (a nil value)${SUFFIX_7}`, "SCRIPT", false],
  [
    "a script",
    "ERR Error compiling script (new function): user_script:1: unexpected symbol near '<eof>'",
    "SCRIPT",
    true,
  ],
  [
    "a script",
    `ERR user_script:1: Expected object key string but found invalid token at character 2${SUFFIX_7}`,
    "SCRIPT",
    false,
  ],
  ["a script", `ERR Unknown Redis command called from script${SUFFIX_7}`, "COMMAND", false],
  ["a command", "ERR unknown command 'NOSUCH', with args beginning with: 'OOM' 'x' ", "COMMAND", true],
  ["a command", "ERR wrong number of arguments for 'get' command", "SCRIPT", true],
  ["a command", "ERR value is not an integer or out of range", "UNKNOWN", true],
  ["something new", "NEWCODE the moon is full", "UNKNOWN", true],
  ["something new in a script", `NEWCODE the moon is full${SUFFIX_7}`, "UNKNOWN", false],
  ["a proxy", `ERR upstream failure: -${FULL}`, "OOM", true],
];

const replyError = (message: string) => Object.assign(new Error(message), { name: "ReplyError" });

describe("an error reply", () => {
  it.each(TEXTS)("of %s is classed by its code: %s", (_, text, code, certain) => {
    expect(readErrorReply(text)).toMatchObject({ code, kind: ERROR_REPLIES[code].kind, hasWrittenNothing: certain });
  });

  it("gets the same class in every form in which servers send it, and a caller never receives INTERNAL for one to retry", () => {
    const bare = fc.constantFrom(...TEXTS.filter(([where]) => where === "a command").map(([, text]) => text));
    const wrapped = fc.constantFrom<(text: string) => string>(
      (text) => `${text}${SUFFIX_7}`,
      (text) => `ERR user_script:141: ${text}${SUFFIX_7}`,
      (text) => `ERR Error running script (call to f_${SHA}): @user_script:12: ${text}`,
      (text) => `ERR Error running script (call to f_${SHA}): @user_script:12: @user_script: 12: -${text} `,
    );
    fc.assert(
      fc.property(bare, wrapped, (text, wrap) => {
        const { code, kind } = readErrorReply(text);
        expect(readErrorReply(wrap(text))).toMatchObject({ code, kind });
        const error = toStoreError(replyError(wrap(text)));
        if (kind === "tryAgain") expect(error).toMatchObject({ code: "unavailable" });
      }),
    );
  });

  it("is not classed by words in its data, and an unknown one is tried again", () => {
    const word = fc.constantFrom(...Object.keys(ERROR_REPLIES), "attempt to index", "unknown command", "ERR", "-OOM x");
    fc.assert(
      fc.property(word, word, (one, two) => {
        const text = `ERR no such thing as '${one} ${two}' here: "${two}: ${one} "`;
        expect(readErrorReply(text)).toMatchObject({ code: "UNKNOWN", kind: "tryAgain" });
        expect(readErrorReply(`ERR unknown command 'x', with args beginning with: '${one}' '${two}' `).code).toBe(
          "COMMAND",
        );
      }),
    );
    fc.assert(
      fc.property(fc.string(), (text) => {
        fc.pre(!Object.keys(ERROR_REPLIES).some((code) => text.includes(code)));
        expect(readErrorReply(`ERR something new: ${text}`).kind).toBe("tryAgain");
      }),
    );
  });

  it("names the cause, the remedy, and whether something may have been written", () => {
    const messageOf = (text: string) => (toStoreError(replyError(text)) as SquelchError).message;
    expect(messageOf(`ERR user_script:141: ${FULL}${SUFFIX_7}`)).toBe(
      "Redis is full (OOM): raise maxmemory; the command has written nothing",
    );
    expect(messageOf(`ERR ${DENIED_IN_SCRIPT}${SUFFIX_7}`)).toBe(
      "Redis denies its user a right (NOPERM): grant it with ACL SETUSER; the outcome is unknown",
    );
    expect(messageOf("NOPERM this user has no permissions to run the 'config|set' command")).toContain(
      "a right, the command CONFIG|SET (NOPERM)",
    );
  });

  it("is found behind the errors of the client library", () => {
    expect(errorReplyOf(new SquelchError("unavailable", "x", { cause: replyError(FULL) }))?.code).toBe("OOM");
    const redirected = new Error(`Too many Cluster redirections. Last error: ReplyError: MOVED 1 127.0.0.1:1`);
    expect(errorReplyOf(redirected)?.code).toBe("MOVED");
    const noNode = Object.assign(new Error("Failed to refresh slots cache."), { lastNodeError: replyError(READONLY) });
    expect(errorReplyOf(noNode)?.code).toBe("READONLY");
    for (const other of [new Error("Command timed out"), new Error("OOM"), "OOM", undefined]) {
      expect(errorReplyOf(other)).toBeUndefined();
    }
    expect(toStoreError(new Error("Command timed out"))).toMatchObject({
      message: "Redis did not answer in time; the outcome is unknown; try again",
    });
  });
});

describe("a denied command of a script", () => {
  const lua = "local a = 1\nredis.call('HSET', 'k', 'f', 'v')\nfn(problem)\n";
  const named = (text: string) => toStoreError(nameDenied(replyError(text), "apply-memberships", lua));

  it("is found by the line of the script if Redis does not name it", () => {
    expect(named(`ERR ${DENIED_IN_SCRIPT} script: ${SHA}, on @user_script:2.`)).toMatchObject({
      code: "unavailable",
      message: expect.stringContaining(
        "a right, the command HSET in the script apply-memberships (NOPERM): grant it with ACL SETUSER; the outcome is unknown",
      ),
    });
    const old = `ERR Error running script (call to f_${SHA}): @user_script:2: @user_script: 2: ${DENIED_IN_SCRIPT} `;
    expect(named(old)).toMatchObject({ message: expect.stringContaining("the command HSET in the script") });
  });

  it("is found by its script if the line has no command", () => {
    expect(named(`ERR user_script:3: ERR ${DENIED_IN_SCRIPT} script: ${SHA}, on @user_script:3.`)).toMatchObject({
      message: expect.stringContaining("a right in the script apply-memberships (NOPERM)"),
    });
  });
});

describe("the probe of writes", () => {
  it("runs every command that another script runs, so that each missing right is noticed", () => {
    const folder = "src/engine/redis/lua";
    const commandsOf = (text: string) => [...text.matchAll(/redis\.p?call\('([A-Z]+)'/g)].map(([, name = ""]) => name);
    const scripts = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".lua"));
    const used = new Set(scripts.flatMap((file) => commandsOf(readFileSync(`${folder}/${file}`, "utf8"))));
    const probed = new Set(commandsOf(read(`${folder}/ingest/probe-writes-1.lua`)));
    // A ticket proves this command.
    used.delete("PUBLISH");
    expect([...used].filter((command) => !probed.has(command))).toEqual([]);
  });
});

describe("docs/errors.md", () => {
  it("lists every error reply of Redis with its class, cause and remedy", () => {
    expect(
      rowsUnder("docs/errors.md", "## Error replies of Redis").map(([code = "", ...rest]) => [unquote(code), ...rest]),
    ).toEqual(
      Object.entries(ERROR_REPLIES).map(([code, { kind, cause, remedy }]) => [
        code,
        kind === "tryAgain" ? "try again" : "defect",
        cause,
        remedy,
      ]),
    );
  });
});
