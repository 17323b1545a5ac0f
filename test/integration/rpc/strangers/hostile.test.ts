import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  END_HEADERS,
  encodeFrame,
  encodeHeaders,
  GOAWAY,
  HEADERS,
  openLeanHttp2,
  RST_STREAM,
} from "../../../../bench/clients/leanHttp2.js";
import { processMemoryMib } from "../../../../bench/support/processMemory.js";
import { PermissionService } from "../../../../gen/squelch/v1/permission_service_pb.js";
import { bearer, connectBothServers } from "../../../support/clients/callBothServers.js";
import { type SquelchProcess, spawnSquelch } from "../../../support/startSquelch.js";
import { mintToken, TOKEN_SECRET } from "../../../support/tokens.js";
import { waitFor } from "../../../support/waitFor.js";

const MAX_CONNECTIONS = 500;
const HALF_OPEN = 10_000;

let replica: SquelchProcess;
let servers: ReturnType<typeof connectBothServers>;
const sockets: Socket[] = [];

beforeAll(async () => {
  replica = await spawnSquelch(["--max-connections", String(MAX_CONNECTIONS), "--log-level", "warn"], {
    SQUELCH_TOKEN_SECRET: TOKEN_SECRET,
  });
  servers = connectBothServers({ ...replica, close: () => replica.stop() });
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  servers?.close();
  await replica?.stop();
});

const { getUserPermissions } = PermissionService.method;
const request = { eventId: "festival", userId: "anna" };

/** Asserts that a caller with a valid token is served on both servers. */
async function expectService(): Promise<void> {
  const headers = bearer(await mintToken({ scope: "watch" }));
  for (const server of [servers.grpc, servers.http]) {
    await waitFor(async () => (await server(getUserPermissions, request, headers)).code === "OK", {
      timeoutMs: 15_000,
    });
  }
}

function open(address: string): Promise<Socket> {
  const [host, port] = address.split(":");
  return new Promise((resolve) => {
    const socket = connect(Number(port), host as string, () => resolve(socket));
    socket.on("error", () => resolve(socket));
    sockets.push(socket);
  });
}

const wasClosed = (socket: Socket) => socket.readableEnded || socket.destroyed || socket.closed;

it("tokens of 1 MiB are refused on both servers", async () => {
  const token = "x".repeat(1 << 20);
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  const client = new Client(replica.grpcAddress, credentials.createInsecure());
  const pass = (bytes: Buffer) => bytes;
  const path = "/squelch.v1.PermissionService/GetUserPermissions";
  const code = await new Promise((resolve) => {
    const options = { deadline: Date.now() + 5_000 };
    client.makeUnaryRequest(path, pass, pass, Buffer.alloc(0), metadata, options, (error) => resolve(error?.code));
  });
  client.close();
  expect(code).not.toBe(status.OK);
  expect(code).not.toBe(status.DEADLINE_EXCEEDED);
  const answer = await fetch(`http://${replica.httpAddress}${path}`, {
    method: "POST",
    headers: { ...bearer(token), "content-type": "application/json" },
    body: "{}",
  });
  expect(answer.status).toBe(431);
  const long = bearer("x.y.".repeat(2_100));
  for (const server of [servers.grpc, servers.http]) {
    expect(await server(getUserPermissions, request, long)).toMatchObject({ code: "UNAUTHENTICATED" });
  }
  await expectService();
});

it("endless headers are refused on both servers", async () => {
  const session = connectHttp2(`http://${replica.grpcAddress}`, { maxSendHeaderBlockLength: 10 << 20 });
  const ended = new Promise((resolve) => {
    session.on("error", resolve).on("close", resolve);
    const headers = Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`x-${index}`, "y".repeat(200)]));
    const stream = session.request({ ":method": "POST", ":path": "/x", ...headers });
    stream.on("error", resolve).on("response", resolve).on("close", resolve);
  });
  await ended;
  session.destroy();
  const socket = await open(replica.httpAddress);
  let answer = "";
  socket.on("data", (bytes) => {
    answer += bytes;
  });
  socket.write(`GET / HTTP/1.1\r\nhost: localhost\r\n${"x: y\r\n".repeat(20_000)}`);
  await waitFor(() => wasClosed(socket));
  expect(answer).toMatch(/^HTTP\/1.1 (400|431) /);
  await expectService();
});

/** Sends frames as fast as the server accepts them, until it closes the connection. */
async function flood(frames: Iterable<Buffer>): Promise<void> {
  const [host = "", port] = replica.grpcAddress.split(":");
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  let hasEnded = false;
  void ended.then(() => {
    hasEnded = true;
  });
  const onFrame = (type: number) => type === GOAWAY && end();
  const socket = await openLeanHttp2({ host, port: Number(port), onFrame, onEnd: end });
  sockets.push(socket);
  for (const frame of frames) {
    if (hasEnded) break;
    if (!socket.write(frame)) await Promise.race([ended, new Promise((resolve) => socket.once("drain", resolve))]);
  }
  await ended;
}

function* resetStreams(): Iterable<Buffer> {
  const headers = encodeHeaders("/squelch.v1.PermissionService/GetUserPermissions", "localhost");
  const cancelled = Buffer.from([0, 0, 0, 8]);
  for (let stream = 1; stream < 200_000; stream += 2) {
    yield Buffer.concat([
      encodeFrame(HEADERS, END_HEADERS, stream, headers),
      encodeFrame(RST_STREAM, 0, stream, cancelled),
    ]);
  }
}

function* continueHeaders(): Iterable<Buffer> {
  const CONTINUATION = 0x9;
  // A header x: y, without an index.
  const headers = Buffer.concat(Array.from({ length: 200 }, () => Buffer.from([0, 1, 0x78, 1, 0x79])));
  yield encodeFrame(HEADERS, 0, 1, encodeHeaders("/x", "localhost"));
  for (let frame = 0; frame < 100_000; frame++) yield encodeFrame(CONTINUATION, 0, 1, headers);
}

it.each([
  ["streams that are reset as soon as they are opened", resetStreams],
  ["headers that never end", continueHeaders],
])("%s close the connection, and other callers are not affected", async (_, frames) => {
  await flood(frames());
  expect((await processMemoryMib(replica.pid)).peak).toBeLessThan(400);
  await expectService();
});

it("a client that sends a byte at a time is cut off", async () => {
  const socket = await open(replica.httpAddress);
  const dripping = setInterval(() => socket.write("x"), 200);
  socket.write("GET / HTTP/1.1\r\nx-");
  await waitFor(() => wasClosed(socket), { timeoutMs: 15_000 });
  clearInterval(dripping);
  await expectService();
}, 30_000);

it("10,000 half-open connections are limited, closed, and do not keep others out for long", async () => {
  for (const address of [replica.grpcAddress, replica.httpAddress]) {
    const opened: Socket[] = [];
    for (let first = 0; first < HALF_OPEN / 2; first += 500) {
      opened.push(...(await Promise.all(Array.from({ length: 500 }, () => open(address)))));
    }
    const standing = () => opened.filter((socket) => !wasClosed(socket)).length;
    await waitFor(() => standing() <= MAX_CONNECTIONS, { timeoutMs: 10_000 });
    for (const socket of opened) socket.destroy();
  }
  expect((await processMemoryMib(replica.pid)).peak).toBeLessThan(400);
  await expectService();
}, 60_000);
