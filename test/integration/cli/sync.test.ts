import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import type { Replica } from "../../../src/server/start.js";
import { connect } from "../../support/clients/watchClient.js";
import { jsonLines, runCli } from "../../support/runCli.js";
import { startSquelch } from "../../support/startSquelch.js";

let replica: Replica;
let client: GrpcClient;
let directory: string;
beforeAll(async () => {
  replica = await startSquelch();
  client = connect(replica.grpcAddress);
  directory = await mkdtemp(join(tmpdir(), "squelch-sync-"));
});
afterAll(async () => {
  client?.close();
  await replica?.close();
  if (directory !== undefined) await rm(directory, { recursive: true });
});

let eventId: string;
let events = 0;
beforeEach(() => {
  eventId = `event-${++events}`;
});

type Terminal = Parameters<typeof runCli>[2];

async function fileOf(name: string, text: string | Uint8Array): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, text);
  return path;
}

const run = (args: readonly string[], terminal?: Terminal) =>
  runCli(["sync", eventId, ...args], { SQUELCH_ADDRESS: replica.grpcAddress }, terminal);
const sync = async (name: string, text: string | Uint8Array, ...args: string[]) =>
  run([await fileOf(name, text), ...args]);

const read = (userId: string) => client.unary(PermissionService.method.getUserPermissions, { eventId, userId });
const assign = (userId: string, channelIds: string[]) =>
  client.unary(PermissionService.method.setUserChannels, { eventId, userId, channelIds });

/** 5,000 users with 3 channels each, as NDJSON. */
const ndjson = () =>
  Array.from({ length: 5_000 }, (_, index) => {
    const channelIds = [0, 1, 2].map((offset) => `${eventId}-c${(index + offset) % 50}`);
    return `${JSON.stringify({ userId: `user-${index}`, channelIds })}\n`;
  }).join("");

describe("squelch sync", () => {
  it("replaces an event with 5,000 users, and a repeat changes nothing", async () => {
    await assign("gone", [`${eventId}-c0`]);
    const file = await fileOf("members.ndjson", ndjson());
    expect(await run([file])).toEqual({
      exitCode: 0,
      stdout: `${eventId}: 5000 users named, 5001 changed, 1 of them revoked, revision 5002\n`,
      stderr: "",
    });
    expect(jsonLines(await run([file, "--json"]))).toMatchObject([
      { revision: "5002", changedUsers: 0, revokedUsers: 0 },
    ]);
    expect((await read("user-4999")).channelIds).toEqual(["c0", "c1", "c49"].map((name) => `${eventId}-${name}`));
    expect(await read("gone")).toMatchObject({ known: true, channelIds: [] });
  });

  it("reads standard input", async () => {
    expect(await run(["-"], { stdin: `{"userId":"u","channelIds":[]}` })).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await read("u")).toMatchObject({ known: true });
    expect(await run(["-", "--format", "csv"], { stdin: `u,${eventId}-a` })).toMatchObject({ exitCode: 0 });
    expect((await read("u")).channelIds).toEqual([`${eventId}-a`]);
  });

  it.each([
    ["plain", `anna,stage;gate\nben,gate\n`],
    ["with a heading", `user,channels\nanna,stage;gate\nben,gate`],
    ["with another heading", `userId,channelIds\nanna,stage;gate\nben,gate`],
    ["from a spreadsheet", `\ufeff"anna","stage;gate"\r\n\r\n"ben" , gate\r\n`],
    ["with spaces", ` anna , stage ; gate\n ben,gate \n`],
  ])("reads CSV %s", async (_, text) => {
    const csv = text.replaceAll(/stage|gate/g, (name) => `${eventId}-${name}`);
    expect(await sync("members.CSV", csv)).toMatchObject({ exitCode: 0, stderr: "" });
    expect((await read("anna")).channelIds).toEqual([`${eventId}-gate`, `${eventId}-stage`]);
    expect((await read("ben")).channelIds).toEqual([`${eventId}-gate`]);
  });

  it("reads CSV users without channels, and ids with commas and quotes", async () => {
    expect(await sync("odd.csv", `none,\n"a, ""b""","${eventId}, x;${eventId} ""y"""\n`)).toMatchObject({
      exitCode: 0,
    });
    expect(await read("none")).toMatchObject({ known: true, channelIds: [] });
    expect((await read('a, "b"')).channelIds).toEqual([`${eventId} "y"`, `${eventId}, x`]);
  });

  it.each([
    ["a.ndjson", `{"userId":"x","channelIds":[]}\n\n{"userId":"y"}\n`, "line 3: has no channelIds", "channelIds"],
    ["b.ndjson", `{"userId":"x","channelIds":[]}\nanna,stage\n`, "line 2: is not valid JSON", '{"userId":"anna"'],
    ["c.ndjson", `[]`, "line 1: is not a JSON object", '{"userId":"anna"'],
    ["d.ndjson", `{"userId":7,"channelIds":[]}`, "line 1: has no userId, or it is not a string", '{"userId":"anna"'],
    ["e.ndjson", `{"userId":"","channelIds":[]}`, "line 1: user_id: must not be empty", "correct that line"],
    ["f.ndjson", `{"userId":"x","channelIds":["a","{"]}`, "line 1: channel_ids[1]: must be printable", "correct"],
    ["g.csv", `x,a\nanna\n`, "line 2: has no comma after the user", "anna,stage;gate"],
    ["h.csv", `x,a\nanna,stage,gate\n`, "line 2: has 3 values", "anna,stage;gate"],
    ["i.csv", `x,a\n"anna,stage\n`, "line 2: has quotes that do not match", "anna,stage;gate"],
    ["j.csv", `x,a\ny,a;;b\n`, "line 2: channel_ids[1]: must not be empty", "correct that line"],
    ["k.csv", `x,a\ny,a\nx,b\n`, `line 3: user_id: "x" was named before`, "correct that line"],
    ["l.csv", Buffer.from([0x61, 0x2c, 0xff, 0x0a]), "is not UTF-8", "convert it"],
    ["m.csv", `x,${"a".repeat(5 << 20)}`, "has a line of more than 4 MiB", "right file"],
  ])("(%s) an error names the wrong line and the remedy, and nothing changes", async (name, text, problem, remedy) => {
    await assign("old", [`${eventId}-a`]);
    const { exitCode, stdout, stderr } = await sync(name, text);
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^squelch: [^\n]+; ?[^\n]*nothing was changed\n$/);
    expect(stderr).toContain(`${name} ${problem}`);
    expect(stderr).toContain(remedy);
    expect((await read("old")).channelIds).toEqual([`${eventId}-a`]);
    expect((await read("x")).known).toBe(false);
  });

  it("does not revoke all users because of an empty file", async () => {
    await assign("old", [`${eventId}-a`]);
    const { exitCode, stderr } = await sync("empty.csv", "\n");
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/empty\.csv has no users, .*--revoke-all/);
    expect((await read("old")).channelIds).toEqual([`${eventId}-a`]);
    expect((await sync("empty.csv", "", "--revoke-all")).stdout).toContain(
      "0 users named, 1 changed, 1 of them revoked",
    );
    expect((await read("old")).channelIds).toEqual([]);
  });

  it("prints why a file cannot be read, or which option it needs", async () => {
    expect(await run([join(directory, "missing.csv")])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/^squelch: \S+missing\.csv cannot be read: [^\n]*no such file[^\n]*\n$/),
    });
    expect(await run([directory, "--format", "csv"])).toMatchObject({ exitCode: 1 });
    expect(await sync("members.txt", "anna,stage")).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("give --format ndjson or --format csv"),
    });
    expect(await run(["x.csv", "--format", "xml"])).toMatchObject({ exitCode: 2 });
  });

  it("prints why a replica rejects the call while the file is still being sent", async () => {
    await client.unary(PermissionService.method.setUserChannels, {
      eventId: "another",
      userId: "u",
      channelIds: ["foreign"],
    });
    expect(await sync("foreign.csv", "u,foreign")).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining(`channel "foreign" of user "u" belongs to another event`),
    });
    const file = await fileOf("members.ndjson", ndjson());
    expect(await runCli(["sync", "{", file, "--address", replica.grpcAddress])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/^squelch: event_id: must be printable/),
    });
    expect(await runCli(["sync", eventId, file, "--address", "127.0.0.1:1"])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("cannot reach 127.0.0.1:1"),
    });
  });

  it("draws a progress bar of limited width on a terminal, and removes it", async () => {
    const { exitCode, stderr } = await run([await fileOf("members.ndjson", ndjson())], { isTTY: true });
    expect(exitCode).toBe(0);
    const drawn = stderr.split("\r");
    expect(drawn[1]).toBe(`[${"-".repeat(24)}]   0% of 5000 users sent`);
    expect(drawn).toContain(`[${"#".repeat(24)}] 100% of 5000 users sent`);
    expect(drawn.length).toBeLessThan(110);
    expect(drawn.at(-1)).toBe("");
    expect(drawn.at(-2)).toMatch(/^ +$/);
    const refused = await runCli(
      ["sync", "{", await fileOf("one.csv", "u,")],
      { SQUELCH_ADDRESS: replica.grpcAddress },
      { isTTY: true },
    );
    expect(refused.stderr).toMatch(/\r +\rsquelch: [^\r\n]+\n$/);
  });

  it("explains the file in its help", async () => {
    const { stdout } = await runCli(["sync", "--help"]);
    expect(stdout).toContain('{"userId":"anna","channelIds":["stage","gate"]}');
    expect(stdout).toContain("anna,stage;gate");
    expect(stdout).toContain("(default 1m)");
  });
});
