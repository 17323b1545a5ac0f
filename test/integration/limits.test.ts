import { Metadata, status } from "@grpc/grpc-js";
import { afterEach, expect, it } from "vitest";
import { ChannelService } from "../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService } from "../../gen/squelch/v1/permission_service_pb.js";
import { bearer, connectBothPlanes } from "../support/callBothPlanes.js";
import { scrapeValue } from "../support/scrape.js";
import { startSquelch } from "../support/startSquelch.js";
import { mintToken, TOKEN_SECRET } from "../support/tokens.js";
import { waitFor } from "../support/waitFor.js";
import { connect, watchOn } from "../support/watchClient.js";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(overrides: Record<string, string>) {
  const replica = await startSquelch({ tokenSecret: TOKEN_SECRET, ...overrides });
  const planes = connectBothPlanes(replica);
  const client = connect(replica.grpcAddress);
  closers.push(
    () => replica.close(),
    () => planes.close(),
    () => client.close(),
  );
  return { replica, planes, client };
}

it("a caller has so many streams open and no more, on both planes together; another has its own", async () => {
  const { replica, planes, client } = await start({ maxStreams: "2" });
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
  const overHttp = () => planes.http(watchChannels, { eventIds: ["festival"] }, anna);
  expect(await overHttp()).toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  await open(await headersOf("ben")).caughtUp();
  expect(await scrapeValue(replica.httpAddress, 'squelch_limit_refusals_total{limit="streams"}')).toBe(2);
  watches[0]?.close();
  await waitFor(async () => (await overHttp()).code === "OK");
});

it("a caller makes so many calls a second, and may go on a moment later", async () => {
  const { replica, planes } = await start({ maxCallsPerS: "10" });
  const { getUserPermissions } = PermissionService.method;
  const anna = bearer(await mintToken({ sub: "anna", scope: "watch" }));
  const call = () => planes.grpc(getUserPermissions, { eventId: "festival", userId: "u" }, anna);
  const ends = await Promise.all(Array.from({ length: 40 }, call));
  const refused = ends.filter(({ code }) => code === "RESOURCE_EXHAUSTED");
  expect(refused.length).toBeGreaterThan(15);
  expect(refused.length).toBeLessThanOrEqual(30);
  expect(refused[0]?.message).toMatch(/^anna makes more than 10 calls a second/);
  const counted = await scrapeValue(replica.httpAddress, 'squelch_limit_refusals_total{limit="calls"}');
  expect(counted).toBe(refused.length);
  await waitFor(async () => (await call()).code === "OK");
});

it("G5: a caller who has no call left may still pause, resume and disconnect, if that is the caller's right", async () => {
  const { planes } = await start({ maxCallsPerS: "1" });
  const { getUserPermissions, pauseAllSpeakers, resumeSpeakers, disconnectUser } = PermissionService.method;
  const of = { eventId: "festival" };
  const anna = bearer(await mintToken({ sub: "anna", scope: "watch pause" }));
  const ben = bearer(await mintToken({ sub: "ben", scope: "watch" }));
  for (const caller of [anna, ben]) {
    const call = () => planes.grpc(getUserPermissions, { ...of, userId: "u" }, caller);
    const ends = await Promise.all([call(), call(), call()]);
    expect(ends.map(({ code }) => code)).toContain("RESOURCE_EXHAUSTED");
  }
  expect(await planes.grpc(pauseAllSpeakers, of, ben)).toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  expect(await planes.grpc(pauseAllSpeakers, of, anna)).toMatchObject({ code: "OK" });
  expect(await planes.grpc(disconnectUser, { ...of, userId: "u" }, anna)).toMatchObject({ code: "OK" });
  // Not refused for being too many, but for naming another pause.
  const resume = planes.http(resumeSpeakers, { ...of, pauseId: "another" }, anna);
  expect(await resume).toMatchObject({ code: "FAILED_PRECONDITION" });
});
