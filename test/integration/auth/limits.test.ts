import { connect as connectSocket } from "node:net";
import { Metadata, status } from "@grpc/grpc-js";
import { afterEach, expect, it } from "vitest";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { Replica } from "../../../src/server/start.js";
import { bearer, connectBothServers } from "../../support/clients/callBothServers.js";
import { connect, watchOn } from "../../support/clients/watchClient.js";
import { startRedis } from "../../support/redis/startRedis.js";
import { scrapeValue } from "../../support/scrape.js";
import { startSquelch } from "../../support/startSquelch.js";
import { mintToken, TOKEN_SECRET } from "../../support/tokens.js";
import { waitFor } from "../../support/waitFor.js";

const { getUserPermissions, setUserChannels, syncEventMembers } = PermissionService.method;
const refusals = (replica: Replica, limit: string) =>
  scrapeValue(replica.httpAddress, `squelch_limit_refusals_total{limit="${limit}"}`);

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(overrides: Record<string, string>) {
  const replica = await startSquelch({ tokenSecret: TOKEN_SECRET, ...overrides });
  const servers = connectBothServers(replica);
  const client = connect(replica.grpcAddress);
  closers.push(
    () => replica.close(),
    () => servers.close(),
    () => client.close(),
  );
  return { replica, servers, client };
}

it("the limit of streams counts for one caller on both servers together; another caller has its own limit", async () => {
  const { replica, servers, client } = await start({ maxStreams: "2" });
  const headersOf = async (sub: string) => bearer(await mintToken({ sub, scope: "watch" }));
  const anna = await headersOf("anna");
  const open = (headers: Record<string, string>) =>
    watchOn(client, { eventIds: ["festival"] }, { metadata: Metadata.fromHttp2Headers(headers) });
  const watches = [open(anna), open(anna)];
  for (const watch of watches) await watch.caughtUp();
  expect(await open(anna).ended()).toMatchObject({
    code: status.RESOURCE_EXHAUSTED,
    details: expect.stringMatching(/^anna has 2 streams open/),
  });
  const { watchChannels } = ChannelService.method;
  const overHttp = () => servers.http(watchChannels, { eventIds: ["festival"] }, anna);
  expect(await overHttp()).toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  await open(await headersOf("ben")).caughtUp();
  expect(await scrapeValue(replica.httpAddress, 'squelch_limit_refusals_total{limit="streams"}')).toBe(2);
  watches[0]?.close();
  await waitFor(async () => (await overHttp()).code === "OK");
});

it("the limit of calls a second holds for one caller, who may call again a moment later", async () => {
  const { replica, servers } = await start({ maxCallsPerS: "10" });
  const anna = bearer(await mintToken({ sub: "anna", scope: "watch" }));
  const call = () => servers.grpc(getUserPermissions, { eventId: "festival", userId: "u" }, anna);
  const ends = await Promise.all(Array.from({ length: 40 }, call));
  const refused = ends.filter(({ code }) => code === "RESOURCE_EXHAUSTED");
  expect(refused.length).toBeGreaterThan(15);
  expect(refused.length).toBeLessThanOrEqual(30);
  expect(refused[0]?.message).toMatch(/^anna makes more than 10 calls a second/);
  const counted = await scrapeValue(replica.httpAddress, 'squelch_limit_refusals_total{limit="calls"}');
  expect(counted).toBe(refused.length);
  await waitFor(async () => (await call()).code === "OK");
});

it("G5: a caller at the call limit may still pause, resume and disconnect, with the scope for it", async () => {
  const { servers } = await start({ maxCallsPerS: "1" });
  const { pauseAllSpeakers, resumeSpeakers, disconnectUser } = PermissionService.method;
  const of = { eventId: "festival" };
  const anna = bearer(await mintToken({ sub: "anna", scope: "watch pause" }));
  const ben = bearer(await mintToken({ sub: "ben", scope: "watch" }));
  for (const caller of [anna, ben]) {
    const call = () => servers.grpc(getUserPermissions, { ...of, userId: "u" }, caller);
    const ends = await Promise.all([call(), call(), call()]);
    expect(ends.map(({ code }) => code)).toContain("RESOURCE_EXHAUSTED");
  }
  expect(await servers.grpc(pauseAllSpeakers, of, ben)).toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  expect(await servers.grpc(pauseAllSpeakers, of, anna)).toMatchObject({ code: "OK" });
  expect(await servers.grpc(disconnectUser, { ...of, userId: "u" }, anna)).toMatchObject({ code: "OK" });
  // This is refused because it names another pause, not because of the limit.
  const resume = servers.http(resumeSpeakers, { ...of, pauseId: "another" }, anna);
  expect(await resume).toMatchObject({ code: "FAILED_PRECONDITION" });
});

it("the limits of users and channels are enforced on both servers, and refusals are counted", async () => {
  const { replica, servers } = await start({ maxUsersPerEvent: "1", maxChannelsPerUser: "2" });
  const admin = bearer(await mintToken({ scope: "admin" }));
  const write = (userId: string, channelIds: string[]) => ({ eventId: "festival", userId, channelIds });
  expect(await servers.grpc(setUserChannels, write("anna", ["a", "b"]), admin)).toMatchObject({ code: "OK" });
  for (const server of [servers.grpc, servers.http]) {
    expect(await server(setUserChannels, write("ben", ["a"]), admin)).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      message: expect.stringMatching(/^user_id: .* at most 1 users.*--max-users-per-event$/),
    });
    expect(await server(setUserChannels, write("anna", ["a", "b", "c"]), admin)).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      message: expect.stringMatching(/^channel_ids: .* at most 2 channels.*--max-channels-per-user$/),
    });
  }
  for (const { eventId, ...user } of [write("ben", ["a"]), write("anna", ["a", "b", "c"])]) {
    const end = await servers.grpc(syncEventMembers, { eventId, users: [user] }, admin);
    expect(end).toMatchObject({ code: "RESOURCE_EXHAUSTED", message: expect.stringMatching(/^users: /) });
  }
  expect(await refusals(replica, "users_per_event")).toBe(3);
  expect(await refusals(replica, "channels_per_user")).toBe(3);
  expect(await servers.grpc(setUserChannels, write("anna", []), admin)).toMatchObject({ code: "OK" });
});

it("a published update above a limit only revokes, and is counted", async () => {
  const redis = await startRedis();
  closers.push(() => redis.stop());
  const { replica, client } = await start({ redisUrl: redis.url, maxUsersPerEvent: "1", maxChannelsPerUser: "2" });
  const metadata = Metadata.fromHttp2Headers(bearer(await mintToken({ scope: "watch" })));
  const publish = (userId: string, channelIds: string[]) =>
    redis.cli("PUBLISH", "vp:membership_updates", JSON.stringify({ eventId: "festival", userId, channelIds }));
  const readUser = (userId: string) => client.unary(getUserPermissions, { eventId: "festival", userId }, { metadata });
  await publish("anna", ["a", "b"]);
  await publish("ben", ["a"]);
  await waitFor(async () => (await refusals(replica, "users_per_event")) === 1);
  expect(await readUser("ben")).toMatchObject({ known: false });
  expect(await readUser("anna")).toMatchObject({ channelIds: ["a", "b"] });
  await publish("anna", ["b", "c", "d"]);
  await waitFor(async () => (await refusals(replica, "channels_per_user")) === 1);
  expect(await readUser("anna")).toMatchObject({ channelIds: ["b"] });
  expect(await scrapeValue(replica.httpAddress, 'squelch_ingest_updates_total{outcome="malformed"}')).toBe(0);
});

it("connections above the limit are closed and counted", async () => {
  const { replica } = await start({ maxConnections: "2" });
  const [host, port] = replica.grpcAddress.split(":");
  const open = () => {
    const socket = connectSocket(Number(port), host as string)
      .on("error", () => undefined)
      .resume();
    closers.push(() => socket.destroy());
    return socket;
  };
  const sockets = Array.from({ length: 5 }, open);
  await waitFor(async () => ((await refusals(replica, "connections")) ?? 0) >= 3);
  await waitFor(() => sockets.filter((socket) => socket.closed).length === 3);
});
