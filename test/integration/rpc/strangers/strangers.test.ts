import { request } from "node:http";
import { connect } from "node:http2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Replica } from "../../../../src/server/start.js";
import { bearer } from "../../../support/clients/callBothServers.js";
import { startSquelch } from "../../../support/startSquelch.js";
import { mintToken, TOKEN_SECRET } from "../../../support/tokens.js";
import { waitFor } from "../../../support/waitFor.js";

const LARGE_BYTES = 4_000_000;
const TOKENS = { none: undefined, forged: "Bearer e30.e30.e30" };

let replica: Replica;
beforeAll(async () => {
  replica = await startSquelch({ tokenSecret: TOKEN_SECRET });
});
afterAll(() => replica?.close());

/** Announces a large message, sends nothing of it, and waits for the answer. */
const servers = {
  grpc(path: string, headers: object): Promise<unknown> {
    const session = connect(`http://${replica.grpcAddress}`);
    const said = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", ...headers };
    const stream = session.request(said);
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(LARGE_BYTES, 1);
    stream.write(prefix);
    const answered = new Promise((resolve, reject) => {
      stream.on("response", (answer) => resolve(answer["grpc-status"]));
      stream.on("error", reject);
    });
    return answered.finally(() => session.destroy());
  },
  http(path: string, headers: object): Promise<unknown> {
    const [host, port] = replica.httpAddress.split(":");
    const said = { "content-type": "application/json", "content-length": LARGE_BYTES, ...headers };
    const call = request({ host, port, path, method: "POST", headers: said });
    call.flushHeaders();
    const answered = new Promise((resolve, reject) => {
      call.on("response", (answer) => resolve(answer.statusCode));
      call.on("error", reject);
    });
    return answered.finally(() => call.destroy());
  },
  connectStream(path: string, headers: object): Promise<unknown> {
    const [host, port] = replica.httpAddress.split(":");
    const said = { "content-type": "application/connect+json", ...headers };
    const call = request({ host, port, path, method: "POST", headers: said });
    call.flushHeaders();
    const answered = new Promise((resolve, reject) => {
      call.on("response", (answer) => {
        answer.setEncoding("utf8");
        answer.on("data", (text: string) => resolve(/"code":"(\w+)"/.exec(text)?.[1]));
      });
      call.on("error", reject);
    });
    return answered.finally(() => call.destroy());
  },
};

it("the audit trail shortens the name that a stranger gives to a call", async () => {
  const path = "/squelch.v1.BanService/UnbanUser";
  await servers.grpc(path, { "squelch-call-id": "x".repeat(10_000) });
  await servers.http(path, { "squelch-call-id": "x".repeat(10_000) });
  const lengths = async () => {
    const answer = await fetch(`http://${replica.httpAddress}/squelch.v1.AuditService/ListAuditEntries`, {
      method: "POST",
      headers: { ...bearer(await mintToken({ scope: "admin" })), "content-type": "application/json" },
      body: "{}",
    });
    const { entries = [] } = (await answer.json()) as { entries?: { action: string; callId: string }[] };
    return entries.filter(({ action }) => action === "UnbanUser").map(({ callId }) => callId.length);
  };
  await waitFor(async () => (await lengths()).length === 2);
  expect(await lengths()).toEqual([129, 129]);
});

describe.each(Object.entries(TOKENS))("who has %s token", (_, authorization) => {
  const headers = authorization === undefined ? {} : { authorization };
  const service = "/squelch.v1.PermissionService";

  it("is refused before a message is read, on both servers", async () => {
    expect(await servers.grpc(`${service}/SetUserChannels`, headers)).toBe("16");
    expect(await servers.grpc(`${service}/WatchPermissions`, headers)).toBe("16");
    expect(await servers.grpc(`${service}/SyncEventMembers`, headers)).toBe("16");
    expect(await servers.http(`${service}/SetUserChannels`, headers)).toBe(401);
    expect(await servers.connectStream(`${service}/WatchPermissions`, headers)).toBe("unauthenticated");
    expect(await servers.connectStream(`${service}/SyncEventMembers`, headers)).toBe("unauthenticated");
  }, 10_000);
});

it("rejected callers are counted", async () => {
  await servers.grpc("/squelch.v1.BanService/BanUser", {});
  const metrics = await (await fetch(`http://${replica.httpAddress}/metrics`)).text();
  expect(metrics).toContain('squelch_rpc_calls_total{method="BanUser",code="UNAUTHENTICATED"} 1');
});
