import { randomUUID } from "node:crypto";
import { Metadata, status } from "@grpc/grpc-js";
import { SignJWT } from "jose";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { FloorPriority } from "../../../gen/squelch/v1/model_pb.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import { encodePercent } from "../../../src/lib/percentText.js";
import type { Replica } from "../../../src/server/start.js";
import { methods } from "../../support/clients/methods.js";
import { sync } from "../../support/clients/syncClient.js";
import { connect } from "../../support/clients/watchClient.js";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { jsonLines, runCli } from "../../support/runCli.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const { getUserPermissions, setUserChannels, pauseAllSpeakers, resumeSpeakers, listAuditEntries } = methods;
const { startPtt } = ChannelService.method;

let redis: RedisServer;
let replica: Replica;
let client: GrpcClient;
let eventId: string;

async function restart(flags: Record<string, string> = {}): Promise<void> {
  client?.close();
  await replica?.close();
  replica = await startSquelch({ redisUrl: redis.url, ...flags });
  client = connect(replica.grpcAddress);
}

beforeEach(async () => {
  eventId = randomUUID();
  redis = await startRedis();
  await restart();
});
afterEach(async () => {
  client.close();
  await replica.close();
  await redis.stop();
});

const entries = async () => (await client.unary(listAuditEntries, { eventIds: [eventId] })).entries;
/** Waits for that many entries and returns them, the oldest first. */
const recorded = (count: number) =>
  waitFor(async () => {
    const found = await entries();
    return found.length >= count && found.reverse();
  });
const metadata = new Metadata();
metadata.set("squelch-actor", "cli:anna");
metadata.set("squelch-call-id", "request-1");

it("has every call that made a change or was refused, with actor, target, outcome and request", async () => {
  await client.unary(setUserChannels, { eventId, userId: "u1", channelIds: ["a"] }, { metadata });
  await client.unary(pauseAllSpeakers, { eventId, reason: "Storm", broadcaster: { userId: "dora" } }, { metadata });
  await expect(client.unary(resumeSpeakers, { eventId, pauseId: "other" })).rejects.toMatchObject({
    code: status.FAILED_PRECONDITION,
  });
  await sync(client, { eventId, users: [] });
  const found = await recorded(4);
  expect(found).toMatchObject([
    { action: "SetUserChannels", actor: "cli:anna", target: "u1", detail: "a", outcome: "OK", callId: "request-1" },
    { action: "PauseAllSpeakers", actor: "cli:anna", target: "dora", detail: "Storm", outcome: "OK" },
    { action: "ResumeSpeakers", actor: "anonymous", target: "other", outcome: "FAILED_PRECONDITION" },
    { action: "SyncEventMembers", outcome: "OK", eventId },
  ]);
  expect(found[2]?.detail).not.toBe("");
  expect(found[2]?.callId).toMatch(/^[\da-f-]{36}$/);
});

it("has callers and calls with names outside ASCII as they are", async () => {
  for (const name of ["김", "박"]) {
    const named = new Metadata();
    named.set("squelch-actor", encodePercent(name));
    named.set("squelch-call-id", encodePercent(`호출-${name}`));
    await client.unary(setUserChannels, { eventId, userId: name, channelIds: [`${eventId}-a`] }, { metadata: named });
  }
  expect(await recorded(2)).toMatchObject([
    { actor: "김", target: "김", callId: "호출-김" },
    { actor: "박", target: "박", callId: "호출-박" },
  ]);
  const broken = new Metadata();
  broken.set("squelch-actor", "%FF");
  await expect(client.unary(setUserChannels, { eventId, userId: "u" }, { metadata: broken })).rejects.toMatchObject({
    code: status.INVALID_ARGUMENT,
  });
});

it("has each press that may take the floor from others, under the channel's event, and other traffic on demand", async () => {
  const press = (priority: FloorPriority) =>
    client.unary(startPtt, { channelId: `${eventId}-a`, userId: "u1", sessionId: randomUUID(), priority });
  await client.unary(setUserChannels, { eventId, userId: "u1", channelIds: [`${eventId}-a`] });
  await press(FloorPriority.NORMAL);
  await press(FloorPriority.EMERGENCY);
  const found = await recorded(2);
  expect(found.map(({ action, target, detail }) => [action, target, detail])).toEqual([
    ["SetUserChannels", "u1", `${eventId}-a`],
    ["StartPtt", `${eventId}-a`, "u1 EMERGENCY"],
  ]);
  await restart({ auditFloor: "on" });
  await press(FloorPriority.NORMAL);
  expect((await recorded(3)).at(-1)).toMatchObject({ action: "StartPtt", detail: "u1 NORMAL" });
});

it("is also in the trail of the VoicePing fleet", async () => {
  await client.unary(pauseAllSpeakers, { eventId, reason: "Storm" }, { metadata });
  await recorded(1);
  const [line = "{}"] = (await redis.cli("LRANGE", "audit:log", "0", "0")).split("\n");
  expect(JSON.parse(line)).toEqual({
    id: expect.stringMatching(/^[\da-f-]{36}$/),
    actorId: "cli:anna",
    eventId,
    action: "emergency_broadcast.start",
    targetId: null,
    metadata: { call: "PauseAllSpeakers", outcome: "OK", callId: "request-1", detail: "Storm" },
    timestamp: expect.any(Number),
  });
});

it("names a user in the VoicePing trail by the bare user id, and keeps the entries of each actor", async () => {
  const asUser = new Metadata();
  asUser.set("squelch-actor", "user:dora");
  await client.unary(pauseAllSpeakers, { eventId, reason: "Storm", duration: { seconds: 0n } }, { metadata: asUser });
  await client.unary(pauseAllSpeakers, { eventId, reason: "Fire", duration: { seconds: 0n } }, { metadata });
  await recorded(2);
  const list = async (key: string) => {
    const lines = (await redis.cli("LRANGE", key, "0", "-1")).split("\n").filter((line) => line !== "");
    return lines.map((line) => JSON.parse(line) as { id: string; actorId: string; eventId: string });
  };
  const all = (await list("audit:log")).filter((entry) => entry.eventId === eventId);
  expect(all.map(({ actorId }) => actorId).sort()).toEqual(["cli:anna", "dora"]);
  for (const actorId of ["dora", "cli:anna"]) {
    await waitFor(async () => (await list(`audit:actor:${actorId}`)).some((entry) => entry.eventId === eventId));
    const own = (await list(`audit:actor:${actorId}`)).filter((entry) => entry.eventId === eventId);
    expect(own).toEqual(all.filter((entry) => entry.actorId === actorId));
  }
  expect(Number(await redis.cli("PTTL", "audit:actor:dora"))).toBeGreaterThan(0);
});

it("G9: records from an outage of Redis are written after it", async () => {
  await client.unary(setUserChannels, { eventId, userId: "u1", channelIds: ["a"] });
  await recorded(1);
  await redis.kill("SIGKILL");
  await expect(client.unary(pauseAllSpeakers, { eventId })).rejects.toMatchObject({ code: status.UNAVAILABLE });
  await expect(client.unary(listAuditEntries, { eventIds: [eventId] })).rejects.toMatchObject({
    code: status.UNAVAILABLE,
  });
  await redis.restart();
  await waitFor(() => entries().catch(() => undefined), { timeoutMs: 15_000 });
  const found = await waitFor(() => recorded(1), { timeoutMs: 15_000 });
  expect(found.at(-1)).toMatchObject({ action: "PauseAllSpeakers", outcome: "UNAVAILABLE" });
});

it("is read by squelch audit, page by page, as a table and as JSON", async () => {
  for (const userId of ["u1", "u2", "u3"]) await client.unary(setUserChannels, { eventId, userId, channelIds: ["a"] });
  await recorded(3);
  const { stdout } = await runCli(["audit", eventId, "--limit", "2", "--address", replica.grpcAddress]);
  expect(stdout.split("\n").map((line) => line.split(/ {2,}/)[4])).toEqual(["TARGET", "u3", "u2", undefined]);
  const lines = jsonLines(await runCli(["audit", "--json", "--address", replica.grpcAddress]));
  expect(lines).toMatchObject([{ target: "u3" }, { target: "u2" }, { target: "u1", action: "SetUserChannels" }]);
  const first = await client.unary(listAuditEntries, { eventIds: [eventId], pageSize: 2 });
  const rest = await client.unary(listAuditEntries, { eventIds: [eventId], pageToken: first.nextPageToken });
  expect(rest).toMatchObject({ entries: [{ target: "u1" }], nextPageToken: "" });
});

it("has refused callers of every call, but not every attempt of a stranger", async () => {
  const tokenSecret = "a secret of thirty-two bytes or more";
  await restart({ tokenSecret });
  const bearer = async (claims: object) => {
    const token = await new SignJWT({ ...claims }).setProtectedHeader({ alg: "HS256" }).setAudience("squelch");
    const signed = await token.setExpirationTime("1h").sign(new TextEncoder().encode(tokenSecret));
    const own = new Metadata();
    own.set("authorization", `Bearer ${signed}`);
    return { metadata: own };
  };
  const ofOther = await bearer({ sub: "eve", scope: "watch", events: ["other"] });
  const refused = { code: status.PERMISSION_DENIED };
  await expect(client.unary(getUserPermissions, { eventId, userId: "u1" }, ofOther)).rejects.toMatchObject(refused);
  await expect(client.unary(pauseAllSpeakers, { eventId }, ofOther)).rejects.toMatchObject(refused);
  for (let attempt = 0; attempt < 50; attempt++) {
    await expect(client.unary(pauseAllSpeakers, { eventId })).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
  }
  // The trail also does not have every attempt of a known caller: a token without rights must not push out the records of others.
  const floorless = await bearer({ sub: "mallory", scope: "watch" });
  for (let attempt = 0; attempt < 50; attempt++) {
    await expect(client.unary(startPtt, { channelId: "c", userId: "u1" }, floorless)).rejects.toMatchObject(refused);
  }
  const severalEvents = client.unary(listAuditEntries, { eventIds: [eventId, "b"] }, ofOther);
  await expect(severalEvents).rejects.toMatchObject(refused);
  const admin = await bearer({ sub: "root", scope: "admin" });
  const found = await waitFor(async () => {
    const page = (await client.unary(listAuditEntries, {}, admin)).entries.reverse();
    return page.some(({ action }) => action === "ListAuditEntries") && page;
  });
  expect(found.slice(0, 2)).toMatchObject([
    { actor: "eve", action: "GetUserPermissions", eventId, target: "u1", outcome: "PERMISSION_DENIED" },
    { actor: "eve", action: "PauseAllSpeakers", eventId, outcome: "PERMISSION_DENIED" },
  ]);
  expect(found.filter(({ outcome }) => outcome === "UNAUTHENTICATED").length).toBeLessThan(50);
  const ofMallory = found.filter(({ actor }) => actor === "mallory");
  expect(ofMallory[0]).toMatchObject({ action: "StartPtt", target: "c", outcome: "PERMISSION_DENIED" });
  expect(ofMallory.length).toBeLessThan(50);
  // The claim names events by a prefix.
  expect(found.at(-1)).toMatchObject({ action: "ListAuditEntries", eventId: "", target: `${eventId} b` });
});

it.each([
  [{ pageSize: 1_001 }, "page_size: must be at most 1000"],
  [{ pageToken: "yesterday" }, "page_token: must be the next_page_token of an earlier answer"],
  [{ eventIds: ["{"] }, "event_ids[0]"],
])("refuses %o", async (request, message) => {
  await expect(client.unary(listAuditEntries, request)).rejects.toMatchObject({
    code: status.INVALID_ARGUMENT,
    details: expect.stringContaining(message),
  });
});
