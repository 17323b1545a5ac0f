import { request } from "node:http";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PermissionService } from "../../../../gen/squelch/v1/permission_service_pb.js";
import type { Replica } from "../../../../src/server/start.js";
import { bearer, connectBothServers } from "../../../support/clients/callBothServers.js";
import { startSquelch } from "../../../support/startSquelch.js";
import { mintToken, TOKEN_SECRET } from "../../../support/tokens.js";

/** A client has 10 s, and the server looks once a second. */
const ENDED_WITHIN_MS = 13_000;
const TEST_TIMEOUT_MS = 20_000;

let replica: Replica;
let token: string;
beforeAll(async () => {
  replica = await startSquelch({ tokenSecret: TOKEN_SECRET });
  token = await mintToken({ scope: "watch" });
});
afterAll(() => replica?.close());

function openGrpc(): ClientHttp2Session {
  const session = connectHttp2(`http://${replica.grpcAddress}`);
  session.on("error", () => undefined);
  return session;
}

function startRequest(session: ClientHttp2Session, path: string, headers: object = {}): ClientHttp2Stream {
  const stream = session.request({
    ...{ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" },
    ...headers,
  });
  return stream.on("error", () => undefined);
}

/** Resolves with the time until the connection or the stream ends, ms. */
function endOf(ending: { once(event: "close", listener: () => void): unknown }): Promise<number> {
  const startedAtMs = performance.now();
  return new Promise((resolve) => ending.once("close", () => resolve(performance.now() - startedAtMs)));
}

function expectEnd(endedAfterMs: number): void {
  expect(endedAfterMs).toBeGreaterThan(9_000);
  expect(endedAfterMs).toBeLessThan(ENDED_WITHIN_MS);
}

describe.concurrent("pitfall 48: a client without a token, or with an incomplete request", {
  timeout: TEST_TIMEOUT_MS,
}, () => {
  it("loses a gRPC connection on which it makes no call", async () => {
    expectEnd(await endOf(openGrpc()));
  });

  it("loses a gRPC connection on which it makes only health checks, and their watches", async () => {
    const session = openGrpc();
    const watch = startRequest(session, "/grpc.health.v1.Health/Watch");
    watch.end(Buffer.alloc(5));
    watch.resume();
    await endOf(session).then(expectEnd);
    expect(watch.closed).toBe(true);
  });

  it("loses a gRPC connection on which its calls are refused", async () => {
    const session = openGrpc();
    const refused = startRequest(session, "/squelch.v1.PermissionService/GetUserPermissions");
    refused.end(Buffer.alloc(5)).resume();
    expectEnd(await endOf(session));
  });

  it("loses an incomplete health check", async () => {
    const session = openGrpc();
    const stream = startRequest(session, "/grpc.health.v1.Health/Check");
    stream.write(Buffer.from([0, 0, 0, 0, 9, 10]));
    expectEnd(await endOf(stream));
    session.destroy();
  });

  it("loses an incomplete call with a token, but keeps its connection", async () => {
    const session = openGrpc();
    const path = "/squelch.v1.PermissionService/GetUserPermissions";
    const stream = startRequest(session, path, bearer(token));
    stream.write(Buffer.from([0, 0, 0, 0, 9, 10]));
    expectEnd(await endOf(stream));
    expect(session.closed).toBe(false);
    session.destroy();
  });

  it("loses an HTTP connection with an incomplete request", async () => {
    const [host, port] = replica.httpAddress.split(":");
    const headers = { ...bearer(token), "content-type": "application/json", "content-length": 1_000 };
    const path = "/squelch.v1.PermissionService/GetUserPermissions";
    const ended = [path, "/healthz"].map((asked) => {
      const method = asked === path ? "POST" : "GET";
      const call = request({ host, port, path: asked, method, headers }, (answer) => answer.resume());
      call.on("error", () => undefined).write("{");
      return endOf(call);
    });
    // The page is answered at once, and Node.js ends a connection with the rest of a request.
    expectEnd((await Promise.all(ended))[0] as number);
  });

  it("loses an HTTP connection on which it sends nothing", async () => {
    const [host = "", port] = replica.httpAddress.split(":");
    const socket = connect(Number(port), host).on("error", () => undefined);
    expectEnd(await endOf(socket.resume()));
  });

  it("does not affect a client with a token", async () => {
    const client = new Client(replica.grpcAddress, credentials.createInsecure());
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    const pass = (bytes: Buffer) => bytes;
    const path = "/squelch.v1.PermissionService/WatchPermissions";
    const watch = client.makeServerStreamRequest(path, pass, pass, Buffer.from([10, 1, 97]), metadata);
    let failure: unknown;
    watch
      .on("data", () => undefined)
      .on("error", (error) => {
        failure = error;
      });
    const servers = connectBothServers({ ...replica, close: async () => undefined });
    await new Promise((resolve) => setTimeout(resolve, ENDED_WITHIN_MS));
    expect(failure).toBeUndefined();
    watch.cancel();
    const { getUserPermissions } = PermissionService.method;
    const answer = await servers.grpc(getUserPermissions, { eventId: "a", userId: "b" }, bearer(token));
    expect(answer.code).toBe("OK");
    expect(failure).toMatchObject({ code: status.CANCELLED });
    servers.close();
    client.close();
  });
});
