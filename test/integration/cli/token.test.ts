import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { exportJWK } from "jose";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLogger } from "../../../src/lib/logger.js";
import { PermissionClient } from "../../../src/router/client/permissionClient.js";
import { runCli } from "../../support/runCli.js";
import { startSquelch } from "../../support/startSquelch.js";
import { mintToken, TOKEN_SECRET } from "../../support/tokens.js";
import { waitFor } from "../../support/waitFor.js";

let folder: string;
const closers: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "squelch-token-"));
  closers.push(() => rmSync(folder, { recursive: true }));
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(overrides: Record<string, string>) {
  const replica = await startSquelch(overrides);
  closers.push(() => replica.close());
  return replica;
}

const withSecret = { SQUELCH_TOKEN_SECRET: TOKEN_SECRET };

describe("squelch token", () => {
  it("mints a token that a replica accepts, and reads it", async () => {
    const { grpcAddress } = await start({ tokenSecret: TOKEN_SECRET });
    const minted = await runCli(
      ["token", "mint", "anna", "--scope", "watch", "assign", "--event", "festival"],
      withSecret,
    );
    expect(minted).toMatchObject({ exitCode: 0, stderr: "" });
    const token = minted.stdout.trim();
    const read = await runCli(["token", "read", token], withSecret);
    for (const said of [/name +anna/, /scopes +watch assign/, /events +festival/, /fits the secret/]) {
      expect(read.stdout).toMatch(said);
    }
    expect((await runCli(["token", "read", token])).stdout).toContain("not checked");
    const wrong = { SQUELCH_TOKEN_SECRET: "some other secret, long enough as well" };
    expect((await runCli(["token", "read", token], wrong)).stdout).toContain("does not fit the secret");

    const assign = (event: string) => ["assign", event, "ben", "--address", grpcAddress];
    expect(await runCli(assign("festival"))).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("authorization: must be given"),
    });
    expect(await runCli([...assign("festival"), "--token", token])).toMatchObject({ exitCode: 0 });
    const refused = await runCli(assign("fair"), { SQUELCH_TOKEN: token });
    expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("does not permit this") });
  });

  it("signs with a private key", async () => {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const keys = join(folder, "keys.json");
    const pem = join(folder, "private.pem");
    const jwk = join(folder, "private.json");
    writeFileSync(keys, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "one" }] }));
    writeFileSync(pem, privateKey.export({ type: "pkcs8", format: "pem" }));
    writeFileSync(jwk, JSON.stringify({ ...(await exportJWK(privateKey)), alg: "EdDSA", kid: "one" }));
    const { grpcAddress } = await start({ tokenJwks: keys });
    const mint = ["token", "mint", "anna", "--scope", "watch", "--private-key"];
    for (const key of [[pem, "--algorithm", "EdDSA", "--key-id", "one"], [jwk]]) {
      const { stdout } = await runCli([...mint, ...key]);
      writeFileSync(join(folder, "token"), stdout);
      const args = ["channels", "festival", "--address", grpcAddress, "--token-file", join(folder, "token")];
      expect(await runCli(args)).toMatchObject({ exitCode: 0 });
    }
  });

  it.each([
    [["mint", "anna", "--scope", "watch"], {}, "the signing key is missing"],
    [["mint", "anna", "--scope", "fly"], withSecret, 'the scope "fly" does not exist'],
    [["mint", "a{b}", "--scope", "watch"], withSecret, "name: must be printable"],
    [["mint", "anna", "--scope", "watch", "--secret", "short"], {}, "at least 32 bytes"],
    [["read", "nonsense"], {}, "is not a valid token"],
    [["mint", "anna"], withSecret, "--scope"],
  ])("%j is a misuse, and the error explains it", async (args, env, problem) => {
    const { exitCode, stderr } = await runCli(["token", ...args], env);
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining(problem)]);
  });
});

it("tools call over TLS, and trust only the given CAs", async () => {
  const tls = { tlsCert: "test/support/tls/server.crt", tlsKey: "test/support/tls/server.key" };
  const { grpcAddress } = await start({ ...tls, tlsClientCa: "test/support/tls/otherCa.crt" });
  const args = ["channels", "festival", "--address", grpcAddress];
  const certificate = ["--cert", "test/support/tls/client.crt", "--key", "test/support/tls/client.key"];
  expect(await runCli([...args, "--ca", "test/support/tls/ca.crt", ...certificate])).toMatchObject({ exitCode: 0 });
  for (const other of [["--tls"], ["--ca", "test/support/tls/otherCa.crt"], []]) {
    expect(await runCli([...args, ...other])).toMatchObject({ exitCode: 1, stdout: "" });
  }
});

it("a router renews its token: when a token expires, its stream returns at once with the next (pitfall 31)", async () => {
  const tls = { tlsCert: "test/support/tls/server.crt", tlsKey: "test/support/tls/server.key" };
  const { grpcAddress } = await start({ ...tls, tokenSecret: TOKEN_SECRET });
  let asked = 0;
  const client = new PermissionClient({
    address: grpcAddress,
    routerId: "router-1",
    checkpointIntervalMs: 1_000,
    heartbeatIntervalMs: 60_000,
    credentials: credentials.createSsl(readFileSync("test/support/tls/ca.crt")),
    token: () => {
      asked += 1;
      const lifeS = asked === 1 ? -2 : 3_600;
      return mintToken({ scope: "watch", exp: Math.floor(Date.now() / 1_000) + lifeS });
    },
    logger: createLogger("router", "silent"),
  });
  closers.push(() => client.close());
  const states: string[] = [];
  client.on("fresh", () => states.push("fresh"));
  client.on("stale", () => states.push("stale"));
  client.start();
  await waitFor(() => states.filter((each) => each === "fresh").length === 2, { timeoutMs: 10_000 });
  expect(states.slice(states.indexOf("fresh"))).toEqual(["fresh", "stale", "fresh"]);
  expect(asked).toBeGreaterThan(1);
});
