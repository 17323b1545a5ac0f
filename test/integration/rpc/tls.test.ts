import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { connect as connectTcp, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConnectionOptions, connect as connectTls, type SecureContextOptions } from "node:tls";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { Logger } from "../../../src/lib/logger.js";
import { openTlsFiles } from "../../../src/server/rpc/tlsFiles.js";
import { WatchedPicture } from "../../support/clients/watchedPicture.js";
import { startSquelch } from "../../support/startSquelch.js";
import { mintToken, TOKEN_SECRET } from "../../support/tokens.js";
import { waitFor } from "../../support/waitFor.js";

const path = (name: string) => join("test/support/tls", name);
const file = (name: string) => readFileSync(path(name));
const ca = [file("ca.crt"), file("otherCa.crt")];

let folder: string;
const closers: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "squelch-tls-"));
  closers.push(() => rmSync(folder, { recursive: true }));
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(overrides: Record<string, string> = {}) {
  const files = { tlsCert: path("server.crt"), tlsKey: path("server.key") };
  const replica = await startSquelch({ ...files, tokenSecret: TOKEN_SECRET, ...overrides });
  closers.push(() => replica.close());
  return replica;
}

type Addresses = Awaited<ReturnType<typeof start>>;

const SERVERS = [
  [
    "gRPC",
    ({ grpcAddress }: Addresses, nodeOptions: SecureContextOptions) =>
      createGrpcTransport({ baseUrl: `https://${grpcAddress}`, nodeOptions }),
  ],
  [
    "Connect over HTTP/2",
    ({ httpAddress }: Addresses, nodeOptions: SecureContextOptions) =>
      createConnectTransport({ baseUrl: `https://${httpAddress}`, httpVersion: "2", nodeOptions }),
  ],
  [
    "Connect over HTTP/1.1",
    ({ httpAddress }: Addresses, nodeOptions: SecureContextOptions) =>
      createConnectTransport({ baseUrl: `https://${httpAddress}`, httpVersion: "1.1", nodeOptions }),
  ],
] as const;

it("TLS 1.2 needs forward secrecy and authenticated encryption, and older versions are refused, on both servers", async () => {
  const replica = await start();
  const handshake = (address: string, options: object) =>
    new Promise<string>((resolve) => {
      const [host, port] = address.split(":");
      const offered = { host, port: Number(port), ca, maxVersion: "TLSv1.2", checkServerIdentity: () => undefined };
      const socket = connectTls({ ...offered, ...options } as ConnectionOptions, () => {
        resolve(socket.getCipher().name);
        socket.destroy();
      });
      socket.on("error", () => resolve("refused"));
    });
  const gcm = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256";
  for (const address of [replica.grpcAddress, replica.httpAddress]) {
    expect(await handshake(address, { ciphers: gcm })).toMatch(/^ECDHE-\w+-AES128-GCM-SHA256$/);
    // Static RSA; CBC; TLS 1.1.
    expect(await handshake(address, { ciphers: "AES128-GCM-SHA256:AES256-GCM-SHA384" })).toBe("refused");
    expect(await handshake(address, { ciphers: "ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA" })).toBe("refused");
    const old = { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT:@SECLEVEL=0" };
    expect(await handshake(address, old)).toBe("refused");
  }
});

describe.each(SERVERS)("over TLS, %s", (_, createTransport) => {
  const user = { eventId: "festival", userId: "anna" };

  it("serves calls and watches to callers with a token, and drains", async () => {
    const replica = await start();
    const permissions = createClient(PermissionService, createTransport(replica, { ca }));
    const headers = { authorization: `Bearer ${await mintToken({ scope: "admin" })}` };
    await expect(permissions.getUserPermissions(user)).rejects.toMatchObject({ code: Code.Unauthenticated });
    expect(await permissions.getUserPermissions(user, { headers })).toMatchObject({ known: false });
    const picture = new WatchedPicture();
    const read = async () => {
      for await (const message of permissions.watchPermissions({ eventIds: ["festival"] }, { headers }))
        picture.apply(message);
      throw new Error("the stream ended without a status");
    };
    const ended = read().catch(ConnectError.from);
    await waitFor(() => picture.checkpoints.length > 0);
    const startedAtMs = performance.now();
    await replica.close();
    expect(await ended).toMatchObject({ code: Code.Unavailable, rawMessage: expect.stringContaining("reconnect") });
    expect(performance.now() - startedAtMs, "the time to drain").toBeLessThan(5_000);
  });

  it("accepts a client certificate of the configured CA as an identity, and no other", async () => {
    const replica = await start({ tlsClientCa: path("otherCa.crt") });
    const as = (name: string) =>
      createClient(
        PermissionService,
        createTransport(replica, { ca, cert: file(`${name}.crt`), key: file(`${name}.key`) }),
      );
    expect(await as("client").getUserPermissions(user)).toMatchObject({ known: false });
    await expect(as("client").setUserChannels({ ...user, channelIds: [] })).rejects.toMatchObject({
      code: Code.PermissionDenied,
      rawMessage: expect.stringContaining("router-west"),
    });
    expect(await as("limited").getUserPermissions({ ...user, eventId: "fair-1" })).toMatchObject({ known: false });
    await expect(as("limited").getUserPermissions({ ...user, eventId: "other" })).rejects.toMatchObject({
      code: Code.PermissionDenied,
    });
    // A CA has signed it, but not the CA of clients.
    await expect(as("server").getUserPermissions(user)).rejects.toMatchObject({ code: Code.Unauthenticated });
    const headers = { authorization: "Bearer nonsense" };
    await expect(as("client").getUserPermissions(user, { headers })).rejects.toMatchObject({
      code: Code.Unauthenticated,
    });
  });
});

it("a renewed certificate is presented to new connections, without a restart", async () => {
  const files = { tlsCert: join(folder, "tls.crt"), tlsKey: join(folder, "tls.key") };
  const install = (name: string) => {
    copyFileSync(path(`${name}.crt`), files.tlsCert);
    copyFileSync(path(`${name}.key`), files.tlsKey);
  };
  install("server");
  const replica = await start(files);
  const issuers = async () => [await issuerOf(replica.grpcAddress), await issuerOf(replica.httpAddress)];
  expect(await issuers()).toEqual(["Squelch test CA", "Squelch test CA"]);
  install("renewed");
  await waitFor(async () => (await issuers()).every((issuer) => issuer === "Squelch other test CA"));
  // One file of a pair changes nothing until the other file is there.
  copyFileSync(path("server.crt"), files.tlsCert);
  expect(await issuers()).toEqual(["Squelch other test CA", "Squelch other test CA"]);
  copyFileSync(path("server.key"), files.tlsKey);
  await waitFor(async () => (await issuers()).every((issuer) => issuer === "Squelch test CA"));
});

function issuerOf(address: string): Promise<string | undefined> {
  const [host, port] = address.split(":");
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: host as string, port: Number(port), ca, ALPNProtocols: ["h2"] }, () => {
      resolve(socket.getPeerCertificate().issuer.CN as string);
      socket.destroy();
    });
    socket.once("error", reject);
  });
}

it("health is served over TLS too", async () => {
  const { httpAddress } = await start();
  const code = await new Promise((resolve, reject) => {
    httpsRequest(`https://${httpAddress}/healthz`, { ca }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .once("error", reject)
      .end();
  });
  expect(code).toBe(200);
});

it("files that do not match or are missing are reported at start", async () => {
  await expect(start({ tlsKey: path("client.key") })).rejects.toThrow(/^--tls-cert, --tls-key: /);
  await expect(start({ tlsCert: path("nothing.crt") })).rejects.toThrow(/^--tls-cert: .*ENOENT/);
  const tlsClientCa = join(folder, "ca.crt");
  for (const [text, problem] of [
    ["", /^--tls-client-ca: has no certificate/],
    ["no certificate", /^--tls-client-ca: has no certificate/],
    [file("ca.crt").toString().slice(0, 200), /^--tls-client-ca: .*PEM/],
  ] as const) {
    writeFileSync(tlsClientCa, text);
    await expect(start({ tlsClientCa })).rejects.toThrow(problem);
  }
});

it("files that are broken later change nothing", async () => {
  const tlsClientCa = join(folder, "ca.crt");
  copyFileSync(path("otherCa.crt"), tlsClientCa);
  const problems: unknown[] = [];
  const logger = { error: ({ err }: { err: unknown }) => problems.push(err), info: () => undefined };
  const files = openTlsFiles(
    { tlsCert: path("server.crt"), tlsKey: path("server.key"), tlsClientCa, tlsClientCrl: undefined },
    logger as unknown as Logger,
  );
  closers.push(() => files?.close());
  const before = files?.context;
  const renewals: unknown[] = [];
  files?.onRenewal((context) => renewals.push(context));
  for (const text of ["cut off", ""]) {
    const count = problems.length;
    writeFileSync(tlsClientCa, text);
    await waitFor(() => problems.length > count);
  }
  rmSync(tlsClientCa);
  await waitFor(() => problems.length > 2);
  expect(files?.context).toBe(before);
  expect(renewals).toEqual([]);
  copyFileSync(path("ca.crt"), tlsClientCa);
  await waitFor(() => renewals.length > 0);
  expect(renewals).toMatchObject([{ ca: file("ca.crt") }]);
});

it("a client that sends nothing over TLS is disconnected, and a silent watcher is not", async () => {
  const replica = await start();
  const [host, port] = replica.httpAddress.split(":");
  const closing = async (protocol: string, said: string) => {
    const socket = connectTls({ host: host as string, port: Number(port), ca, ALPNProtocols: [protocol] }, () =>
      socket.write(said),
    );
    const startedAtMs = performance.now();
    await new Promise((resolve) => {
      socket.on("error", () => undefined).on("close", resolve);
      socket.resume();
    });
    return performance.now() - startedAtMs;
  };
  const [, [, createTransport]] = SERVERS;
  const watching = createClient(PermissionService, createTransport(replica, { ca }));
  const headers = { authorization: `Bearer ${await mintToken({ scope: "admin" })}` };
  const picture = new WatchedPicture();
  const checkpointInterval = { seconds: 11n, nanos: 0 };
  const watched = (async () => {
    for await (const message of watching.watchPermissions({ eventIds: ["festival"], checkpointInterval }, { headers }))
      picture.apply(message);
  })().catch(ConnectError.from);
  for (const took of await Promise.all([
    closing("http/1.1", "GET / HTTP/1.1\r\nx: "),
    closing("h2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  ])) {
    expect(took).toBeGreaterThan(8_000);
    expect(took).toBeLessThan(20_000);
  }
  await waitFor(() => picture.checkpoints.length >= 2, { timeoutMs: 20_000 });
  await replica.close();
  expect(await watched).toMatchObject({ code: Code.Unavailable });
}, 50_000);

it("over TLS, a client without a handshake and one that sends a byte of the headers at a time are cut off on both servers", async () => {
  const replica = await start();
  const sockets: Socket[] = [];
  for (const address of [replica.grpcAddress, replica.httpAddress]) {
    const [host, port] = address.split(":");
    sockets.push(connectTcp(Number(port), host as string));
  }
  const [host, port] = replica.httpAddress.split(":");
  const slow = connectTls({ host: host as string, port: Number(port), ca, ALPNProtocols: ["http/1.1"] });
  slow.once("secureConnect", () => slow.write("GET / HTTP/1.1\r\nx-"));
  sockets.push(slow);
  for (const socket of sockets) socket.on("error", () => undefined).resume();
  const dripping = setInterval(() => slow.write("x"), 200);
  closers.push(() => {
    clearInterval(dripping);
    for (const socket of sockets) socket.destroy();
  });
  await waitFor(() => sockets.every((socket) => socket.closed), { timeoutMs: 20_000 });
  expect(slow.bytesRead, "the handshake and no page").toBeLessThan(8_192);
}, 30_000);
