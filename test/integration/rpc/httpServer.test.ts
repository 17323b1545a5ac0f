import { randomUUID } from "node:crypto";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect as connectSocket } from "node:net";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterEach, describe, expect, it } from "vitest";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { Replica } from "../../../src/server/start.js";
import { WatchedPicture } from "../../support/clients/watchedPicture.js";
import { scrapeValue } from "../../support/scrape.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(overrides: Record<string, string> = {}): Promise<Replica & { url: string }> {
  const replica = await startSquelch(overrides);
  closers.push(() => replica.close());
  return { ...replica, url: `http://${replica.httpAddress}` };
}

const PERMISSIONS = "/squelch.v1.PermissionService";

function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

const TRANSPORTS = [
  [
    "Connect with JSON",
    (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false }),
  ],
  ["Connect with protobuf", (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
  ["gRPC-Web", (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
] as const;

describe.each(TRANSPORTS)("over %s", (_, createTransport) => {
  it("calls of both services answer as over gRPC", async () => {
    const transport = createTransport((await start()).url);
    const permissions = createClient(PermissionService, transport);
    const channels = createClient(ChannelService, transport);
    const eventId = randomUUID();
    expect(await permissions.setUserChannels({ eventId, userId: "u", channelIds: [`${eventId}-a`] })).toMatchObject({
      revision: 1n,
      added: [`${eventId}-a`],
    });
    expect(await channels.listEventChannels({ eventId })).toMatchObject({ channelIds: [`${eventId}-a`] });
    const failure = await channels.getChannelEvent({ channelId: randomUUID() }).catch(ConnectError.from);
    expect(failure).toMatchObject({ code: Code.NotFound, rawMessage: expect.stringContaining("belongs to no event") });
    const invalid = await permissions.getUserPermissions({ eventId, userId: "" }).catch(ConnectError.from);
    expect(invalid).toMatchObject({ code: Code.InvalidArgument, rawMessage: expect.stringMatching(/^user_id: /) });
  });

  it("a watch delivers changes at once, with their actors", async () => {
    const transport = createTransport((await start()).url);
    const permissions = createClient(PermissionService, transport);
    const eventId = randomUUID();
    const { picture, stop } = watch(permissions, eventId);
    await waitFor(() => picture.checkpoints.length > 0);
    const headers = { "squelch-actor": "dispatcher" };
    await permissions.setUserChannels({ eventId, userId: "u", channelIds: [`${eventId}-a`] }, { headers });
    await waitFor(() => picture.changes.length === 1);
    expect(picture.changes[0]).toMatchObject({ actor: "dispatcher" });
    await stop();
  });

  it("SyncEventMembers takes a stream, and changes nothing if it breaks", async () => {
    const transport = createTransport((await start()).url);
    const permissions = createClient(PermissionService, transport);
    const eventId = randomUUID();
    async function* users(breaks: boolean) {
      yield { eventId, users: [{ userId: "u", channelIds: [`${eventId}-a`] }] };
      yield { users: [{ userId: "v", channelIds: [] }] };
      if (breaks) throw new Error("no more");
    }
    await expect(permissions.syncEventMembers(users(true))).rejects.toThrow();
    expect(await permissions.getUserPermissions({ eventId, userId: "u" })).toMatchObject({ known: false });
    expect(await permissions.syncEventMembers(users(false))).toMatchObject({ changedUsers: 1 });
    expect(await permissions.getUserPermissions({ eventId, userId: "u" })).toMatchObject({ known: true });
  });

  it("a watch ends at shutdown with a status that asks for a reconnect (pitfall 30)", async () => {
    const replica = await start();
    const { picture, ended } = watch(createClient(PermissionService, createTransport(replica.url)), randomUUID());
    await waitFor(() => picture.checkpoints.length > 0);
    const startedAtMs = performance.now();
    await replica.close();
    expect(await ended).toMatchObject({ code: Code.Unavailable, rawMessage: expect.stringContaining("reconnect") });
    expect(performance.now() - startedAtMs, "the time to drain").toBeLessThan(5_000);
  });
});

function watch(permissions: Client<typeof PermissionService>, eventId: string) {
  const picture = new WatchedPicture();
  const cancelling = new AbortController();
  const read = async () => {
    for await (const message of permissions.watchPermissions({ eventIds: [eventId] }, { signal: cancelling.signal })) {
      picture.apply(message);
    }
  };
  const ended = read().then(() => new ConnectError("the stream ended without a status"), ConnectError.from);
  const stop = () => {
    cancelling.abort();
    return ended;
  };
  return { picture, ended, stop };
}

/** The messages of a Connect stream of JSON. */
function readStream(response: IncomingMessage): { messages: string[] } {
  const messages: string[] = [];
  let rest = Buffer.alloc(0);
  response.on("data", (bytes: Buffer) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
      const end = 5 + rest.readUInt32BE(1);
      messages.push(rest.toString("utf8", 5, end));
      rest = rest.subarray(end);
    }
  });
  return { messages };
}

async function openRawWatch(url: string, eventId: string) {
  const body = Buffer.from(JSON.stringify({ eventIds: [eventId] }));
  const envelope = Buffer.alloc(5);
  envelope.writeUInt32BE(body.length, 1);
  const call = httpRequest(`${url}${PERMISSIONS}/WatchPermissions`, {
    method: "POST",
    headers: { "content-type": "application/connect+json" },
  });
  closers.push(() => call.destroy());
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    call.once("response", resolve).once("error", reject);
    call.end(Buffer.concat([envelope, body]));
  });
  return { call, response, ...readStream(response) };
}

it("a reader that does not read is sent no more, and gets the latest when it reads again (pitfall 29, G8)", async () => {
  const replica = await start();
  const permissions = createClient(
    PermissionService,
    createConnectTransport({ baseUrl: replica.url, httpVersion: "1.1" }),
  );
  const eventId = randomUUID();
  const { response, messages } = await openRawWatch(replica.url, eventId);
  await waitFor(() => messages.length >= 2, { message: "snapshot and checkpoint" });
  response.pause();
  const lists = ["a", "b"].map((name) => Array.from({ length: 500 }, (_, index) => `${eventId}-${name}-${index}`));
  const assign = (index: number) =>
    permissions.setUserChannels({ eventId, userId: "u", channelIds: lists[index % 2] as string[] });
  // Waits until the buffers of the sockets are full and nothing more is delivered.
  let sent = 0;
  let delivered: number | undefined;
  for (let still = 0; still < 5; ) {
    for (let wave = 0; wave < 40; wave++) await assign(sent++);
    const now = await scrapeValue(replica.httpAddress, "squelch_deliveries_total");
    still = now === delivered ? still + 1 : 0;
    delivered = now;
  }
  expect(delivered).toBeLessThan(sent);
  response.resume();
  await waitFor(() => messages.some((message) => message.includes(`"revision":"${sent}"`)), { timeoutMs: 15_000 });
  expect(messages.length).toBeLessThan(sent);
});

it("a client that disconnects is forgotten", async () => {
  const replica = await start();
  const { call, messages } = await openRawWatch(replica.url, randomUUID());
  await waitFor(() => messages.length >= 2);
  const watchers = () => scrapeValue(replica.httpAddress, "squelch_watchers");
  expect(await watchers()).toBe(1);
  call.destroy();
  await waitFor(async () => (await watchers()) === 0);
});

describe("a call over HTTP", () => {
  it("refuses unknown fields, because they would hide a mistake", async () => {
    const { url } = await start();
    const answer = await post(`${url}${PERMISSIONS}/PauseAllSpeakers`, { eventId: "e", durration: "5s" });
    expect([answer.status, await answer.json()]).toMatchObject([
      400,
      { code: "invalid_argument", message: expect.stringContaining("durration") },
    ]);
    const user = { eventId: "e", userId: "u" };
    expect(await (await post(`${url}${PERMISSIONS}/GetUserPermissions`, user)).json()).toMatchObject({ known: false });
  });

  it("rejects bodies above 4 MiB, and malformed requests", async () => {
    const { url } = await start();
    const large = await post(`${url}${PERMISSIONS}/PauseAllSpeakers`, { eventId: "e", reason: "x".repeat(5 << 20) });
    expect([large.status, await large.json()]).toMatchObject([429, { code: "resource_exhausted" }]);
    const form = await fetch(`${url}${PERMISSIONS}/PauseAllSpeakers`, { method: "POST", body: "eventId=e" });
    expect(form.status).toBe(415);
    expect((await post(`${url}${PERMISSIONS}/Nothing`, {})).status).toBe(404);
    expect((await fetch(`${url}${PERMISSIONS}/PauseAllSpeakers`)).status).toBe(405);
  });

  it("survives host names that make no valid URL", async () => {
    const replica = await start({ insecure: "on" });
    const [host = "", port] = replica.httpAddress.split(":");
    const ask = (header: string) =>
      new Promise<string>((resolve, reject) => {
        const socket = connectSocket(Number(port), host, () => {
          socket.end(
            `POST ${PERMISSIONS}/GetUserPermissions HTTP/1.0\r\n${header}content-type: application/json\r\n\r\n`,
          );
        });
        let answer = "";
        socket.on("data", (bytes) => {
          answer += bytes;
        });
        socket.once("end", () => resolve(answer)).once("error", reject);
      });
    for (const header of ["", "host: [\r\n", "host: a b\r\n"]) expect(await ask(header)).toMatch(/^HTTP\/1.1 400 /);
    expect((await fetch(`${replica.url}/healthz`)).status).toBe(200);
  });
});

describe("a page of another origin", () => {
  const origin = "https://console.example";
  const call = `${PERMISSIONS}/GetUserPermissions`;
  const user = { eventId: "e", userId: "u" };

  it("may not call, not even without a preflight", async () => {
    const { url } = await start();
    const refused = await post(`${url}${call}`, user, { origin });
    expect([refused.status, await refused.json()]).toMatchObject([403, { message: expect.stringContaining(origin) }]);
    const preflight = await fetch(`${url}${call}`, { method: "OPTIONS", headers: { origin } });
    expect([preflight.status, preflight.headers.get("access-control-allow-origin")]).toEqual([403, null]);
    expect((await post(`${url}${call}`, user, { origin: url })).status).toBe(200);
  });

  it("may if it is configured", async () => {
    const { url } = await start({ corsOrigins: `http://other.example, ${origin}` });
    const preflight = await fetch(`${url}${call}`, { method: "OPTIONS", headers: { origin } });
    expect([preflight.status, preflight.headers.get("access-control-allow-origin")]).toEqual([204, origin]);
    expect(preflight.headers.get("access-control-allow-headers")).toContain("authorization");
    const answer = await post(`${url}${call}`, user, { origin });
    expect([answer.status, answer.headers.get("access-control-allow-origin")]).toEqual([200, origin]);
  });

  it("is not admitted through a host name of its own that points here (DNS rebinding)", async () => {
    const { httpAddress, url } = await start();
    const ask = (host: string, path = call) =>
      new Promise<number | undefined>((resolve, reject) => {
        const method = path === call ? "POST" : "GET";
        const headers = { host, origin: `http://${host}`, "content-type": "application/json" };
        const rebound = httpRequest(`http://${httpAddress}${path}`, { method, headers }, (response) => {
          response.resume();
          resolve(response.statusCode);
        });
        rebound.once("error", reject).end(path === call ? JSON.stringify(user) : undefined);
      });
    for (const path of [call, "/metrics", "/", "/assets/x"]) expect(await ask("evil.example:8080", path)).toBe(403);
    const port = new URL(url).port;
    expect([await ask(`localhost:${port}`), await ask(`127.0.0.1:${port}`, "/metrics")]).toEqual([200, 200]);
    // Probes of an orchestrator may come by another name.
    expect([await ask("evil.example", "/healthz"), await ask("evil.example", "/readyz")]).toEqual([200, 200]);
  });
});
