import { createHmac, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { Metadata, status } from "@grpc/grpc-js";
import { exportJWK, exportSPKI, SignJWT } from "jose";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { parseConfig } from "../../../src/server/config.js";
import type { Replica } from "../../../src/server/start.js";
import { bearer, connectBothServers } from "../../support/clients/callBothServers.js";
import { connect, watchOn } from "../../support/clients/watchClient.js";
import { spawnSquelch, startSquelch } from "../../support/startSquelch.js";
import { mintToken, TOKEN_SECRET } from "../../support/tokens.js";
import { waitFor } from "../../support/waitFor.js";

const { getUserPermissions, setUserChannels } = PermissionService.method;
const request = { eventId: "festival", userId: "anna" };
const inAnHour = () => Math.floor(Date.now() / 1_000) + 3_600;
const claims = () => ({ sub: "tester", aud: "squelch", exp: inAnHour(), scope: "admin" });

let folder: string;
const closers: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "squelch-keys-"));
  closers.push(() => rmSync(folder, { recursive: true }));
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(overrides: Record<string, string>) {
  const replica = await startSquelch(overrides);
  const servers = connectBothServers(replica);
  closers.push(
    () => replica.close(),
    () => servers.close(),
  );
  const ask = async (token: string | undefined) => {
    const ends = [
      await servers.grpc(getUserPermissions, request, bearer(token)),
      await servers.http(getUserPermissions, request, bearer(token)),
    ];
    const [grpc, http] = ends.map((end) => (end.code === "OK" ? "OK" : `${end.code} ${end.message}`));
    return grpc === http ? `${grpc}` : `gRPC: ${grpc}, HTTP: ${http}`;
  };
  return { replica, servers, ask };
}

function createKey(kid: string) {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const mint = () => new SignJWT(claims()).setProtectedHeader({ alg: "RS256", kid }).sign(privateKey);
  const jwk = async () => ({ ...(await exportJWK(publicKey)), kid });
  return { publicKey, mint, jwk };
}

const base64 = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");

describe("a token", () => {
  it("that is not signed, or signed by an algorithm for other keys, is refused", async () => {
    const { ask } = await start({ tokenSecret: TOKEN_SECRET });
    const body = base64(claims());
    const sign = (header: string) => createHmac("sha256", TOKEN_SECRET).update(`${header}.${body}`).digest("base64url");
    for (const alg of ["none", "None", "RS256", "HS1", "dir"]) {
      const header = base64({ alg });
      for (const signature of ["", sign(header)]) {
        expect(await ask(`${header}.${body}.${signature}`)).toMatch(
          /^UNAUTHENTICATED token: is signed by an algorithm/,
        );
      }
    }
    const header = base64({ alg: "HS256" });
    expect(await ask(`${header}.${body}.${sign(header)}`)).toBe("OK");
    expect(await ask(`${header}.${body}.`)).toMatch(/^UNAUTHENTICATED token: its signature/);
    const critical = base64({ alg: "HS256", crit: ["b64"], b64: false });
    expect(await ask(`${critical}.${body}.${sign(critical)}`)).toMatch(/^UNAUTHENTICATED/);
    for (const broken of ["x", "x.y.z", `${header}.${body}`]) expect(await ask(broken)).toMatch(/^UNAUTHENTICATED/);
  });

  it("that is signed by the public key as if it were a secret is refused", async () => {
    const key = createKey("one");
    writeFileSync(join(folder, "keys.json"), JSON.stringify({ keys: [await key.jwk()] }));
    const { ask } = await start({ tokenJwks: join(folder, "keys.json"), tokenSecret: TOKEN_SECRET });
    expect(await ask(await key.mint())).toBe("OK");
    const secrets = [await exportSPKI(key.publicKey), JSON.stringify(await key.jwk())];
    for (const secret of secrets) {
      for (const text of [secret, secret.trim()]) {
        const confused = new SignJWT(claims()).setProtectedHeader({ alg: "HS256", kid: "one" }).sign(Buffer.from(text));
        expect(await ask(await confused)).toMatch(/^UNAUTHENTICATED token: its signature/);
      }
    }
  });

  it("must have a subject, an audience and an expiry", async () => {
    const { ask } = await start({ tokenSecret: TOKEN_SECRET, tokenIssuer: "control-plane" });
    const mint = (changes: object) => mintToken({ ...claims(), iss: "control-plane", ...changes } as never);
    const long = Math.floor(Date.now() / 1_000) + 600;
    for (const [changes, word] of [
      [{ aud: undefined }, "aud"],
      [{ aud: ["other"] }, "aud"],
      [{ iss: "somebody" }, "iss"],
      [{ exp: undefined }, "exp"],
      [{ sub: undefined }, "sub"],
      [{ sub: "a{b}" }, "sub"],
      [{ nbf: long }, "valid"],
      [{ scope: 5 }, "scope"],
      [{ events: "festival" }, "events"],
      [{ events: [5] }, "events"],
    ] as const) {
      expect(await ask(await mint(changes)), JSON.stringify(changes)).toMatch(new RegExp(`^UNAUTHENTICATED .*${word}`));
    }
    expect(await ask(await mint({ aud: ["other", "squelch"] }))).toBe("OK");
  });

  it("names the actor of a change, even if the caller gives another name", async () => {
    const { replica, servers } = await start({ tokenSecret: TOKEN_SECRET });
    const headers = bearer(await mintToken({ sub: "anna", scope: "admin" }));
    const client = connect(replica.grpcAddress);
    closers.push(() => client.close());
    const watch = watchOn(client, { eventIds: ["festival"] }, { metadata: Metadata.fromHttp2Headers(headers) });
    await watch.caughtUp();
    const lie = { ...headers, "squelch-actor": "somebody-else" };
    await servers.grpc(setUserChannels, { ...request, channelIds: ["a"] }, lie);
    await servers.http(setUserChannels, { ...request, channelIds: ["b"] }, lie);
    await waitFor(() => watch.picture.changes.length === 2);
    expect(watch.picture.changes.map(({ actor }) => actor)).toEqual(["anna", "anna"]);
  });
});

describe("keys", () => {
  it("of a file are rotated: a token is refused when its key was removed, on open streams too", async () => {
    const [first, second] = [createKey("first"), createKey("second")];
    const write = async (...keys: { jwk(): Promise<object> }[]) => {
      writeFileSync(
        join(folder, "keys.json"),
        JSON.stringify({ keys: await Promise.all(keys.map((key) => key.jwk())) }),
      );
    };
    await write(first);
    const { replica, ask } = await start({ tokenJwks: join(folder, "keys.json") });
    const [old, fresh] = [await first.mint(), await second.mint()];
    expect(await ask(old)).toBe("OK");
    expect(await ask(fresh)).toMatch(/^UNAUTHENTICATED token: is signed by an unknown key/);
    const client = connect(replica.grpcAddress);
    closers.push(() => client.close());
    const metadata = Metadata.fromHttp2Headers(bearer(old));
    const watch = watchOn(client, { eventIds: ["festival"] }, { metadata });
    await watch.caughtUp();
    await write(first, second);
    await waitFor(async () => (await ask(fresh)) === "OK");
    expect([await ask(old), watch.error]).toEqual(["OK", undefined]);
    await write(second);
    expect(await watch.ended()).toMatchObject({ code: status.UNAUTHENTICATED });
    expect(await ask(old)).toMatch(/^UNAUTHENTICATED/);
  });

  it("of a URL are read when a token names an unknown key", async () => {
    const [first, second] = [createKey("first"), createKey("second")];
    let keys = [await first.jwk()];
    const server = createServer((_, response) => response.end(JSON.stringify({ keys })));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closers.push(() => server.close());
    const { ask } = await start({ tokenJwks: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys` });
    expect(await ask(await first.mint())).toBe("OK");
    keys = [await second.jwk()];
    const fresh = await second.mint();
    await waitFor(async () => (await ask(fresh)) === "OK", { timeoutMs: 10_000 });
  });

  it("that cannot be read admit no caller, and make no token invalid", async () => {
    const { ask } = await start({ tokenJwks: join(folder, "nothing.json") });
    expect(await ask(await createKey("one").mint())).toMatch(/^UNAVAILABLE the keys/);
    expect(await ask(undefined)).toMatch(/^UNAUTHENTICATED/);
  });

  it("of a file with several secrets are all valid", async () => {
    const file = join(folder, "secrets");
    const other = "another secret of the tests, long enough";
    writeFileSync(file, `${TOKEN_SECRET}\n${other}\n`);
    const { ask } = await start({ tokenSecretFile: file });
    const [old, fresh] = [await mintToken({ scope: "admin" }), await mintToken({ scope: "admin" }, other)];
    expect([await ask(old), await ask(fresh)]).toEqual(["OK", "OK"]);
    writeFileSync(file, `${other}\n`);
    await waitFor(async () => (await ask(old)).startsWith("UNAUTHENTICATED token: its signature"));
    expect(await ask(fresh)).toBe("OK");
  });

  it("are refused if they are secret keys among public ones, or too short", async () => {
    const file = join(folder, "keys");
    writeFileSync(file, "too short\n");
    await expect(startSquelch({ tokenSecretFile: file })).rejects.toThrow("at least 32 bytes");
    await expect(startSquelch({ tokenSecretFile: join(folder, "nothing") })).rejects.toThrow("ENOENT");
    const secret = { kty: "oct", k: Buffer.from(TOKEN_SECRET).toString("base64url"), kid: "one" };
    const strong = await createKey("strong").jwk();
    const weak = generateKeyPairSync("rsa", { modulusLength: 1_024 }).publicKey.export({ format: "jwk" });
    for (const [keys, problem] of [
      [[secret], '--token-jwks: keys[0] (kid "one"): is secret; publish public keys only'],
      [[strong, { ...weak, kid: "weak" }], '--token-jwks: keys[1] (kid "weak"): has 1024 bits; use 2048 or more'],
      [[], "--token-jwks: the set has no keys"],
    ] as const) {
      writeFileSync(file, JSON.stringify({ keys }));
      await expect(startSquelch({ tokenJwks: file })).rejects.toThrow(problem);
    }
  });

  it("of a URL with a password are not read, and neither the password nor the query is repeated or logged", async () => {
    const location = "http://user:hunter2@127.0.0.1:1/keys?secret=hunter3";
    const failure = () => parseConfig({ tokenJwks: location }, {});
    expect(failure).toThrow(/^--token-jwks \(SQUELCH_TOKEN_JWKS\): must be .* without user and password$/);
    const replica = await spawnSquelch(["--token-jwks", "http://127.0.0.1:1/keys?secret=hunter3"]);
    closers.push(() => replica.stop());
    const log = await waitFor(() => replica.lines.find((line) => line.includes("keys of tokens could not be read")));
    expect(log).toContain('"source":"http://127.0.0.1:1"');
    expect(replica.lines.join("\n")).not.toContain("hunter");
  });
});

describe("an open stream", () => {
  const soon = () => Math.floor(Date.now() / 1_000) - 4 + 2;

  it("ends with UNAUTHENTICATED when its token expires (pitfall 31), on both servers", async () => {
    const { replica } = await start({ tokenSecret: TOKEN_SECRET });
    const headers = bearer(await mintToken({ scope: "watch", exp: soon() }));
    const client = connect(replica.grpcAddress);
    closers.push(() => client.close());
    const watch = watchOn(client, { eventIds: ["festival"] }, { metadata: Metadata.fromHttp2Headers(headers) });
    await watch.caughtUp();
    const overHttp = watchOverHttp(replica, headers);
    const expired = expect.stringMatching(/expired/);
    expect(await watch.ended()).toMatchObject({ code: status.UNAUTHENTICATED, details: expired });
    expect(await overHttp.ended).toMatchObject({ code: Code.Unauthenticated, rawMessage: expired });
    expect(overHttp.messages()).toBeGreaterThan(0);
  });

  it("of a limited caller delivers only the caller's events, including later ones (G7)", async () => {
    const { replica, servers } = await start({ tokenSecret: TOKEN_SECRET });
    const admin = bearer(await mintToken({ scope: "admin" }));
    const assign = (eventId: string) => servers.grpc(setUserChannels, { eventId, userId: "u", channelIds: [] }, admin);
    for (const eventId of ["festival", "fair-1", "secret"]) await assign(eventId);
    const client = connect(replica.grpcAddress);
    closers.push(() => client.close());
    const limited = bearer(await mintToken({ scope: "watch", events: ["festival", "fair-*"] }));
    const watch = watchOn(client, { eventIds: [] }, { metadata: Metadata.fromHttp2Headers(limited) });
    await watch.caughtUp();
    expect([...watch.picture.events.keys()].sort()).toEqual(["fair-1", "festival"]);
    for (const eventId of ["secret-2", "fair-2"]) await assign(eventId);
    await waitFor(() => watch.picture.events.has("fair-2"));
    expect([...watch.picture.events.keys()].sort()).toEqual(["fair-1", "fair-2", "festival"]);
  });
});

function watchOverHttp({ httpAddress }: Replica, headers: Record<string, string>) {
  const transport = createConnectTransport({ baseUrl: `http://${httpAddress}`, httpVersion: "1.1" });
  let count = 0;
  const read = async () => {
    const stream = createClient(PermissionService, transport).watchPermissions({ eventIds: ["festival"] }, { headers });
    for await (const _ of stream) count++;
    throw new Error("the stream ended without a status");
  };
  return { ended: read().catch(ConnectError.from), messages: () => count };
}

it("health needs no token, reflection does", async () => {
  const { replica } = await start({ tokenSecret: TOKEN_SECRET });
  for (const path of ["/healthz", "/readyz", "/metrics"]) {
    expect((await fetch(`http://${replica.httpAddress}${path}`)).status).toBe(200);
  }
  const client = connect(replica.grpcAddress);
  closers.push(() => client.close());
  const pass = (bytes: Buffer) => bytes;
  const health = new Promise((resolve, reject) => {
    client.raw.makeUnaryRequest("/grpc.health.v1.Health/Check", pass, pass, Buffer.alloc(0), (error, answer) =>
      error === null ? resolve(answer) : reject(error),
    );
  });
  expect(await health).toEqual(Buffer.from([8, 1]));
  const reflect = (token: string | undefined) =>
    new Promise<number | undefined>((resolve) => {
      const metadata = Metadata.fromHttp2Headers(bearer(token));
      const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
      const stream = client.raw.makeBidiStreamRequest(path, pass, pass, metadata);
      stream.on("data", () => {
        resolve(status.OK);
        stream.cancel();
      });
      stream.on("error", ({ code }: { code?: number }) => resolve(code));
      // list_services, an empty string.
      stream.write(Buffer.from([0x3a, 0]));
    });
  expect(await reflect(undefined)).toBe(status.UNAUTHENTICATED);
  expect(await reflect(await mintToken({ scope: "watch" }))).toBe(status.OK);
});
