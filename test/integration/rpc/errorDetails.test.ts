import { randomUUID } from "node:crypto";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import { reasonOf } from "../../../src/router/client/convert.js";
import type { Replica } from "../../../src/server/start.js";
import { methods } from "../../support/clients/methods.js";
import { connect } from "../../support/clients/watchClient.js";
import { startSquelch } from "../../support/startSquelch.js";

let replica: Replica;
let client: GrpcClient;
beforeAll(async () => {
  replica = await startSquelch({});
  client = connect(replica.grpcAddress);
});
afterAll(async () => {
  client.close();
  await replica.close();
});

const eventId = randomUUID();
const as = (name: string) => {
  const metadata = new Metadata();
  metadata.set("squelch-actor", name);
  return { metadata };
};

async function failureOf(call: Promise<unknown>): Promise<ServiceError> {
  return call.then(
    () => expect.fail("the call must fail"),
    (error: ServiceError) => error,
  );
}

async function post(method: string, body: string): Promise<[httpStatus: number, answer: Record<string, unknown>]> {
  const url = `http://${replica.httpAddress}/squelch.v1.${method}`;
  const answer = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
  return [answer.status, (await answer.json()) as Record<string, unknown>];
}

describe("an error over gRPC has its reason", () => {
  it.each([
    ["a field", methods.setUserChannels, { userId: "u" }, "INVALID_FIELD", { field: "event_id" }],
    ["a channel", methods.getChannelState, { channelId: "nowhere" }, "UNKNOWN_CHANNEL", { channelId: "nowhere" }],
    ["a pause", methods.resumeSpeakers, { eventId, pauseId: "p" }, "PAUSE_NOT_STANDING", { pauseId: "p" }],
    ["a ban", methods.unbanUser, { eventId, userId: "u" }, "NOT_BANNED", { userId: "u" }],
    ["a token of a page", methods.listBans, { eventId, pageToken: "x" }, "PAGE_TOKEN_INVALID", {}],
    ["an epoch", methods.awaitApplied, { eventId, revision: 1n }, "INVALID_FIELD", { field: "epoch" }],
    [
      "a revision",
      methods.awaitApplied,
      { eventId, revision: 9n, epoch: "e" },
      "REVISION_UNKNOWN",
      { revision: "9", epoch: "e" },
    ],
  ] as const)("%s", async (_, method, request, reason, metadata) => {
    const error = await failureOf(client.unary(method as typeof methods.listBans, request as object));
    expect(reasonOf(error)).toEqual({ reason, metadata });
  });
});

it("Carl's evacuation with Dora's request id is refused, and pauses nothing", async () => {
  const event = { eventId: randomUUID(), duration: { seconds: 0n }, requestId: "one-id" };
  const first = await client.unary(methods.pauseAllSpeakers, { ...event, reason: "Test" }, as("dora"));
  const evacuation = { ...event, duration: { seconds: 600n }, reason: "Evacuation" };
  const error = await failureOf(client.unary(methods.pauseAllSpeakers, evacuation, as("carl")));
  expect(error.code).toBe(status.INVALID_ARGUMENT);
  expect(reasonOf(error)).toEqual({ reason: "REQUEST_ID_REUSED", metadata: { requestId: "one-id" } });
  const { pause } = await client.unary(methods.getEventActiveSpeakers, { eventId: event.eventId });
  expect(pause).toBeUndefined();
  expect(await client.unary(methods.pauseAllSpeakers, { ...event, reason: "Test" }, as("dora"))).toEqual(first);
});

it("a pause that stands is described for programs", async () => {
  const event = { eventId: randomUUID() };
  const broadcaster = { userId: "dora", userName: "Dora" };
  const { pause } = await client.unary(methods.pauseAllSpeakers, { ...event, broadcaster }, as("dora"));
  const error = await failureOf(client.unary(methods.pauseAllSpeakers, event, as("carl")));
  expect(reasonOf(error)).toEqual({
    reason: "PAUSE_STANDS",
    metadata: {
      ...{ pauseId: pause?.pauseId, actor: "dora", broadcaster: "dora" },
      expiresAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    },
  });
});

it.each([
  ["a wrong type", `{"eventId":"e","reason":5}`, "reason"],
  ["an unknown field", `{"eventId":"e","colour":"red"}`, "colour"],
  ["a value out of its range", `{"eventId":"e","duration":"soon"}`, "duration"],
])("malformed JSON names its field: %s", async (_, body, field) => {
  const [httpStatus, { code, details }] = await post("PermissionService/PauseAllSpeakers", body);
  expect([httpStatus, code]).toEqual([400, "invalid_argument"]);
  expect(details).toMatchObject([
    { type: "google.rpc.ErrorInfo", debug: { reason: "MALFORMED", domain: "squelch", metadata: { field } } },
  ]);
});

it("text that is no JSON is malformed", async () => {
  const [, { details }] = await post("PermissionService/PauseAllSpeakers", "{");
  expect(details).toMatchObject([{ debug: { reason: "MALFORMED" } }]);
});

it("answers in JSON have their default values, and a cursor for an unknown user", async () => {
  const user = { eventId: randomUUID(), userId: "nobody" };
  const [, answer] = await post("PermissionService/GetUserPermissions", JSON.stringify(user));
  const cursor = { eventId: user.eventId, epoch: "", revision: "0" };
  expect(answer).toEqual({ channelIds: [], cursor, known: false, userRevision: "0" });
});

it("lists of channels and bans come in pages, and a token belongs to its query", async () => {
  const [one, other] = [randomUUID(), randomUUID()];
  const channelIds = ["a", "b", "c"].map((name) => `${one}-${name}`);
  await client.unary(methods.setUserChannels, { eventId: one, userId: "u", channelIds });
  const first = await client.unary(methods.listEventChannels, { eventId: one, pageSize: 2 });
  expect(first.channelIds).toEqual(channelIds.slice(0, 2));
  const pageToken = first.nextPageToken;
  const second = await client.unary(methods.listEventChannels, { eventId: one, pageSize: 2, pageToken });
  expect([second.channelIds, second.nextPageToken]).toEqual([channelIds.slice(2), ""]);
  const error = await failureOf(client.unary(methods.listEventChannels, { eventId: other, pageToken }));
  expect(reasonOf(error)?.reason).toBe("PAGE_TOKEN_INVALID");
  const tooMany = await failureOf(client.unary(methods.listEventChannels, { eventId: one, pageSize: 1_001 }));
  expect(reasonOf(tooMany)).toEqual({ reason: "INVALID_FIELD", metadata: { field: "page_size" } });

  const users = ["김", "anna", "ben"].sort();
  for (const userId of users) await client.unary(methods.banUser, { eventId: one, userId });
  const bans = await client.unary(methods.listBans, { eventId: one, pageSize: 2 });
  const rest = await client.unary(methods.listBans, { eventId: one, pageSize: 2, pageToken: bans.nextPageToken });
  expect([...bans.bans, ...rest.bans].map(({ userId }) => userId)).toEqual(users);
});

it("a stream of speakers has checkpoints, also when nobody speaks", async () => {
  const request = { eventIds: [eventId], checkpointInterval: { seconds: 1n } };
  const stream = client.serverStream(methods.watchChannels, request);
  stream.on("error", () => undefined);
  const cases: (string | undefined)[] = [];
  for await (const { payload } of stream as AsyncIterable<{ payload: { case?: string; value?: unknown } }>) {
    cases.push(payload.case);
    if (payload.case === "checkpoint") expect(payload.value).toMatchObject({ feedHealthy: true, cursors: [] });
    if (cases.length === 3) break;
  }
  stream.cancel();
  expect(cases).toEqual(["snapshot", "checkpoint", "checkpoint"]);
});
