import { randomUUID } from "node:crypto";
import type { DescMethodUnary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import type { Replica } from "../../../src/server/start.js";
import { methods } from "../../support/clients/methods.js";
import { sync } from "../../support/clients/syncClient.js";
import { connect, watchOn } from "../../support/clients/watchClient.js";
import { startSquelch } from "../../support/startSquelch.js";

let replica: Replica;
let client: GrpcClient;
beforeAll(async () => {
  replica = await startSquelch();
  client = connect(replica.grpcAddress);
});
afterAll(async () => {
  client?.close();
  await replica?.close();
});

const permissions = methods;
const channels = ChannelService.method;
const call = (method: DescMethodUnary, request: object) => client.unary(method, request as never);
const tooLong = "ü".repeat(65);

describe("a request with a bad value", () => {
  it.each([
    ["an empty event id", permissions.getUserPermissions, { userId: "u" }, "event_id"],
    ["an empty user id", permissions.setUserChannels, { eventId: "e" }, "user_id"],
    ["an id over 128 bytes", permissions.getUserPermissions, { eventId: tooLong, userId: "u" }, "event_id"],
    ["a brace in an id", permissions.getUserPermissions, { eventId: "e{x}", userId: "u" }, "event_id"],
    ["a control character in an id", channels.getChannelState, { channelId: "a\n" }, "channel_id"],
    [
      "a bad id in a list",
      permissions.setUserChannels,
      { eventId: "e", userId: "u", channelIds: ["a", ""] },
      "channel_ids[1]",
    ],
    ["a pause over an hour", permissions.pauseAllSpeakers, { eventId: "e", duration: { seconds: 3_601n } }, "duration"],
    ["a pause below 0", permissions.pauseAllSpeakers, { eventId: "e", duration: { seconds: -1n } }, "duration"],
    [
      "a broadcaster without a latch",
      permissions.pauseAllSpeakers,
      { eventId: "e", duration: { seconds: 0n }, broadcaster: { userId: "d" } },
      "duration",
    ],
    ["a long reason", permissions.pauseAllSpeakers, { eventId: "e", reason: "x".repeat(513) }, "reason"],
    ["the reserved holder as a speaker", channels.startPtt, { channelId: "a", userId: "squelch:pause" }, "user_id"],
    ["no pause to lift", permissions.resumeSpeakers, { eventId: "e" }, "pause_id"],
    ["no talk time", channels.startPtt, { channelId: "a", userId: "u", talkTime: { seconds: 0n } }, "talk_time"],
    ["no user to disconnect", permissions.disconnectUser, { eventId: "e" }, "user_id"],
    ["a long reason", permissions.disconnectUser, { eventId: "e", userId: "u", reason: "x".repeat(513) }, "reason"],
    ["a ban of no time", permissions.banUser, { eventId: "e", userId: "u", duration: {} }, "duration"],
    [
      "an endless ban",
      permissions.banUser,
      { eventId: "e", userId: "u", duration: { seconds: 1n << 40n } },
      "duration",
    ],
    ["no event", permissions.listBans, {}, "event_id"],
    ["a long talk time", channels.startPtt, { channelId: "a", userId: "u", talkTime: { seconds: 301n } }, "talk_time"],
    ["no lease time", channels.startPtt, { channelId: "a", userId: "u", leaseTime: { nanos: 1_000 } }, "lease_time"],
    ["a long lease", channels.startPtt, { channelId: "a", userId: "u", leaseTime: { seconds: 61n } }, "lease_time"],
    ["no such priority", channels.startPtt, { channelId: "a", userId: "u", priority: 9 }, "priority"],
    ["no lease to renew", channels.renewPtt, { channelId: "a" }, "lease_id"],
    ["neither lease nor user", channels.stopPtt, { channelId: "a" }, "lease_id"],
  ] as const)("(%s) is INVALID_ARGUMENT and names the field", async (_, method, request, field) => {
    const answer = call(method, request);
    await expect(answer).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(new RegExp(`^${field.replace(/[[\]]/g, "\\$&")}: `)),
    });
  });

  it.each([
    ["no such channel", channels.startPtt, { channelId: randomUUID(), userId: "u" }, status.NOT_FOUND],
    ["no such channel", channels.getChannelEvent, { channelId: randomUUID() }, status.NOT_FOUND],
    ["no such channel", channels.getChannelState, { channelId: randomUUID() }, status.NOT_FOUND],
    ["no such pause", permissions.resumeSpeakers, { eventId: "e", pauseId: "p" }, status.FAILED_PRECONDITION],
    ["no such channel", channels.renewPtt, { channelId: randomUUID(), leaseId: 1n }, status.NOT_FOUND],
    ["no such ban", permissions.unbanUser, { eventId: "e", userId: "u" }, status.FAILED_PRECONDITION],
  ] as const)("(%s) has its own error", async (_, method, request, code) => {
    await expect(call(method, request)).rejects.toMatchObject({ code });
  });

  it("of 10 MiB is refused, and the connection stays in use", async () => {
    const request = { eventId: "e", userId: "u", channelIds: [`${"x".repeat(10 << 20)}`] };
    await expect(call(permissions.setUserChannels, request)).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    const after = await client.unary(permissions.getUserPermissions, { eventId: "e", userId: "u" });
    expect(after.known).toBe(false);
  });

  it.each([
    ["an interval of 0", { checkpointInterval: { seconds: 0n } }, "checkpoint_interval"],
    ["an interval of 61 s", { checkpointInterval: { seconds: 61n } }, "checkpoint_interval"],
    [
      "two cursors of an event",
      { cursors: ["1", "2"].map((epoch) => ({ eventId: "e", epoch })) },
      "cursors[1].event_id",
    ],
    ["a cursor without epoch", { cursors: [{ eventId: "e" }] }, "cursors[0].epoch"],
    [
      "a revision that is too large",
      { cursors: [{ eventId: "e", epoch: "x", revision: 1n << 63n }] },
      "cursors[0].revision",
    ],
    ["a bad user id", { userIds: ["a", "{"] }, "user_ids[1]"],
  ])("(%s) ends a watch with INVALID_ARGUMENT", async (_, request, field) => {
    const watch = watchOn(client, request);
    expect(await watch.ended()).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringContaining(`${field}: `),
    });
  });

  it.each([
    ["nothing at all", [], "event_id"],
    ["no event", [{ users: [{ userId: "u" }] }], "event_id"],
    ["a bad event id", [{ eventId: "{" }], "event_id"],
    ["another event later", [{ eventId: "e" }, { eventId: "f" }], "event_id"],
    ["an empty user id", [{ eventId: "e", users: [{ userId: "u" }, {}] }], "users[1].user_id"],
    [
      "a bad user id later",
      [{ eventId: "e", users: [{ userId: "u" }] }, { users: [{ userId: "\n" }] }],
      "users[1].user_id",
    ],
    [
      "a bad channel id",
      [{ eventId: "e", users: [{ userId: "u", channelIds: ["a", "}"] }] }],
      "users[0].channel_ids[1]",
    ],
    [
      "a user twice",
      [{ eventId: "e", users: [{ userId: "u" }] }, { users: [{ userId: "v" }, { userId: "u" }] }],
      'users[2].user_id: "u"',
    ],
  ])("(%s) ends a sync with INVALID_ARGUMENT, and the connection stays in use", async (_, requests, field) => {
    await expect(sync(client, ...requests)).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringContaining(field),
    });
    const after = await client.unary(permissions.getUserPermissions, { eventId: "e", userId: "u" });
    expect(after.known).toBe(false);
  });

  it("changes nothing", async () => {
    const eventId = randomUUID();
    const other = randomUUID();
    await client.unary(permissions.setUserChannels, { eventId: other, userId: "u", channelIds: [`${other}-a`] });
    const mixed = { eventId, userId: "u", channelIds: [`${eventId}-a`, `${other}-a`] };
    await expect(call(permissions.setUserChannels, mixed)).rejects.toMatchObject({ code: status.FAILED_PRECONDITION });
    const after = await client.unary(permissions.getUserPermissions, { eventId, userId: "u" });
    expect(after).toMatchObject({ known: false, channelIds: [] });
    expect((await client.unary(channels.listEventChannels, { eventId })).channelIds).toEqual([]);
  });
});
