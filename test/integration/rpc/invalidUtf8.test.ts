import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { reasonOf } from "../../../src/router/client/convert.js";
import type { Replica } from "../../../src/server/start.js";
import { startSquelch } from "../../support/startSquelch.js";

let replica: Replica;
let client: Client;
beforeAll(async () => {
  replica = await startSquelch();
  client = new Client(replica.grpcAddress, credentials.createInsecure());
});
afterAll(async () => {
  client?.close();
  await replica?.close();
});

const UNARY = "/squelch.v1.PermissionService/GetUserPermissions";
const WATCH = "/squelch.v1.PermissionService/WatchPermissions";
const SYNC = "/squelch.v1.PermissionService/SyncEventMembers";
const NOT_UTF8 = Buffer.from([0x61, 0xff, 0xfe]);
/** Encodes field 1 of a request, a string: event_id of the unary call, event_ids of the watch. */
const BINARY = Buffer.concat([Buffer.from([0x0a, NOT_UTF8.length]), NOT_UTF8]);
const jsonOf = (text: Buffer | string, field: string) =>
  Buffer.concat([Buffer.from(`{${field}"`), Buffer.from(text), Buffer.from(field.includes("[") ? '"]}' : '"}')]);

/** A message of a stream, with its length before it. */
function envelope(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

async function post(path: string, type: string, body: Buffer): Promise<string> {
  const response = await fetch(`http://${replica.httpAddress}${path}`, {
    method: "POST",
    headers: { "content-type": type },
    body: new Uint8Array(body),
    signal: AbortSignal.timeout(5_000),
  });
  return decodeURIComponent(await response.text());
}

describe("text that is not UTF-8 is refused, not replaced", () => {
  it.each([
    ["bytes", NOT_UTF8],
    ["half of a surrogate pair", "a\\ud800"],
  ])("in JSON (%s)", async (_, text) => {
    const unary = await post(UNARY, "application/json", jsonOf(text, '"userId":"u","eventId":'));
    expect(JSON.parse(unary)).toMatchObject({ code: "invalid_argument" });
    const stream = await post(WATCH, "application/connect+json", envelope(jsonOf(text, '"eventIds":[')));
    expect(stream).toContain('"code":"invalid_argument"');
  });

  it("in protobuf over HTTP", async () => {
    expect(JSON.parse(await post(UNARY, "application/proto", BINARY))).toMatchObject({ code: "internal" });
    expect(await post(WATCH, "application/connect+proto", envelope(BINARY))).toContain('"code":"internal"');
    expect(await post(UNARY, "application/grpc-web+proto", envelope(BINARY))).toContain("grpc-status: 13");
  });

  it("over gRPC", async () => {
    const pass = (bytes: Buffer) => bytes;
    const unary = new Promise<ServiceError | null>((resolve) => {
      client.makeUnaryRequest(UNARY, pass, pass, BINARY, resolve);
    });
    const watch = client.makeServerStreamRequest(WATCH, pass, pass, BINARY);
    const watchEnd = new Promise<ServiceError>((resolve) => {
      watch.on("error", resolve).resume();
    });
    const sync = new Promise<ServiceError | null>((resolve) => {
      client.makeClientStreamRequest(SYNC, pass, pass, resolve).end(BINARY);
    });
    for (const error of await Promise.all([unary, watchEnd, sync])) {
      expect(error?.code).toBe(status.INVALID_ARGUMENT);
      expect(error && reasonOf(error)).toEqual({ reason: "MALFORMED", metadata: {} });
    }
  });
});
