import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { parseConfig } from "../../../src/server/config.js";
import type { Replica } from "../../../src/server/start.js";
import { startSquelch } from "../../support/startSquelch.js";
import { type ClientCa, createClientCa } from "../../support/tls/clientCa.js";
import { mintToken, TOKEN_SECRET } from "../../support/tokens.js";
import { waitFor } from "../../support/waitFor.js";

const TLS = { tlsCert: "test/support/tls/server.crt", tlsKey: "test/support/tls/server.key" };
/** The longest time until the streams of a removed credential end. */
const ENDED_WITHIN_MS = 30_000;

let folder: string;
const closers: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "squelch-revocations-"));
  closers.push(() => rmSync(folder, { recursive: true }));
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(overrides: Record<string, string>): Promise<Replica> {
  const replica = await startSquelch(overrides);
  closers.push(() => replica.close());
  return replica;
}

/** Calls both servers. `tls` contains the client certificate. Without it there is no TLS. */
function clientsOf({ grpcAddress, httpAddress }: Replica, tls?: { cert: Buffer; key: Buffer }) {
  const scheme = tls === undefined ? "http" : "https";
  const nodeOptions = { ...tls, rejectUnauthorized: false };
  return [
    createGrpcTransport({ baseUrl: `${scheme}://${grpcAddress}`, nodeOptions }),
    createConnectTransport({ baseUrl: `${scheme}://${httpAddress}`, httpVersion: "1.1", nodeOptions }),
  ].map((transport) => createClient(PermissionService, transport));
}
type Client = ReturnType<typeof clientsOf>[number];

/** Opens a watch. When it is open, resolves with a promise of its end. */
async function watch(client: Client, headers: Record<string, string> = {}) {
  let hasOpened = false;
  const ended = (async () => {
    for await (const _ of client.watchPermissions({ eventIds: ["festival"] }, { headers })) hasOpened = true;
    throw new Error("the stream ended without a status");
  })().catch(ConnectError.from);
  await waitFor(() => hasOpened);
  return { ended };
}

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => "OK",
    (error: unknown) => Code[ConnectError.from(error).code],
  );
async function ask(client: Client, headers: Record<string, string> = {}): Promise<string | undefined> {
  return await codeOf(client.getUserPermissions({ eventId: "festival", userId: "anna" }, { headers }));
}

describe("a revoked token", () => {
  it("by its id or by its caller ends its streams and calls, and others continue, on both servers", async () => {
    const revokedTokens = join(folder, "revoked");
    writeFileSync(revokedTokens, "# Tokens that were lost.\n\n");
    const replica = await start({ tokenSecret: TOKEN_SECRET, revokedTokens });
    const bearer = async (claims: object) => ({
      authorization: `Bearer ${await mintToken({ scope: "watch", ...claims })}`,
    });
    const lost = await bearer({ sub: "router-1", jti: "one" });
    const kept = await bearer({ sub: "router-1", jti: "two" });
    const left = await bearer({ sub: "carl" });
    for (const client of clientsOf(replica)) {
      writeFileSync(revokedTokens, "# Tokens that were lost.\n\n");
      await waitFor(async () => (await ask(client, lost)) === "OK" && (await ask(client, left)) === "OK");
      const watches = await Promise.all([lost, left].map((headers) => watch(client, headers)));
      const going = await watch(client, kept);
      writeFileSync(revokedTokens, "jti one\nsub carl\n");
      for (const { ended } of watches) {
        expect(await ended).toMatchObject({
          code: Code.Unauthenticated,
          rawMessage: expect.stringContaining("revoked"),
        });
      }
      expect([await ask(client, lost), await ask(client, left)]).toEqual(["Unauthenticated", "Unauthenticated"]);
      expect(await ask(client, kept)).toBe("OK");
      expect(await Promise.race([going.ended, ask(client, kept)])).toBe("OK");
    }
  });

  it("is named in a file; a wrong line is an error at the start, and changes nothing later", async () => {
    const revokedTokens = join(folder, "revoked");
    const flags = { tokenSecret: TOKEN_SECRET, revokedTokens };
    await expect(startSquelch(flags)).rejects.toThrow(/^--revoked-tokens: .* cannot be read \(ENOENT\)/);
    writeFileSync(revokedTokens, "jti one\none\n");
    await expect(startSquelch(flags)).rejects.toThrow(/^--revoked-tokens: .*: line 2 must be jti/);
    writeFileSync(revokedTokens, "jti one\n");
    const replica = await start(flags);
    writeFileSync(revokedTokens, "one\n");
    const [client] = clientsOf(replica);
    const token = await mintToken({ scope: "watch", jti: "one" });
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(await ask(client as Client, { authorization: `Bearer ${token}` })).toBe("Unauthenticated");
  });
});

describe("a client certificate", { timeout: 60_000 }, () => {
  let ca: ClientCa;
  let tlsClientCa: string;
  beforeEach(async () => {
    ca = await createClientCa(folder, "first");
    tlsClientCa = join(folder, "clientCa.crt");
    writeFileSync(tlsClientCa, ca.certificate);
  });

  async function expectEnd(ended: Promise<unknown>): Promise<void> {
    const startedAtMs = performance.now();
    await ended;
    expect(performance.now() - startedAtMs).toBeLessThan(ENDED_WITHIN_MS);
  }

  it("ends its streams and connections when its CA is removed, on both servers", async () => {
    const replica = await start({ ...TLS, tlsClientCa });
    const clients = clientsOf(replica, await ca.issue("router-1", "watch"));
    const watches = await Promise.all(clients.map((client) => watch(client)));
    writeFileSync(tlsClientCa, (await createClientCa(folder, "second")).certificate);
    await Promise.all(watches.map(({ ended }) => expectEnd(ended)));
    for (const client of clients) expect(await ask(client)).toBe("Unauthenticated");
  });

  it("ends them when it is revoked, and another of the same CA connects again", async () => {
    const tlsClientCrl = join(folder, "clientCa.crl");
    writeFileSync(tlsClientCrl, await ca.revocations());
    const replica = await start({ ...TLS, tlsClientCa, tlsClientCrl });
    const lost = clientsOf(replica, await ca.issue("router-1", "watch"));
    const kept = clientsOf(replica, await ca.issue("router-2", "watch"));
    const watches = await Promise.all(lost.map((client) => watch(client)));
    for (const client of kept) expect(await ask(client)).toBe("OK");
    await ca.revoke("router-1");
    writeFileSync(tlsClientCrl, await ca.revocations());
    await Promise.all(watches.map(({ ended }) => expectEnd(ended)));
    for (const client of lost) expect(await ask(client)).toBe("Unauthenticated");
    for (const client of kept) await waitFor(async () => (await ask(client)) === "OK");
  });

  it("ends its streams and connections when it expires", async () => {
    const replica = await start({ ...TLS, tlsClientCa });
    const clients = clientsOf(replica, await ca.issue("router-1", "watch", 6_000));
    const watches = await Promise.all(clients.map((client) => watch(client)));
    await Promise.all(watches.map(({ ended }) => expectEnd(ended)));
    for (const client of clients) expect(await ask(client)).toBe("Unauthenticated");
  });

  it("needs a readable list of revocations", async () => {
    const tlsClientCrl = join(folder, "clientCa.crl");
    writeFileSync(tlsClientCrl, "no list");
    await expect(startSquelch({ ...TLS, tlsClientCa, tlsClientCrl })).rejects.toThrow(/^--tls-client-crl: /);
    const config = () => parseConfig({ ...TLS, tlsClientCrl }, {});
    expect(config).toThrow("--tls-client-crl: needs --tls-client-ca too");
  });

  it("is refused if its caller is revoked by name", async () => {
    const revokedTokens = join(folder, "revoked");
    writeFileSync(revokedTokens, "sub router-1\n");
    const replica = await start({ ...TLS, tlsClientCa, revokedTokens });
    for (const client of clientsOf(replica, await ca.issue("router-1", "watch"))) {
      expect(await ask(client)).toBe("Unauthenticated");
    }
    for (const client of clientsOf(replica, await ca.issue("router-2", "watch"))) expect(await ask(client)).toBe("OK");
  });
});
