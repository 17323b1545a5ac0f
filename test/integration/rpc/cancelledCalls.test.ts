import { once } from "node:events";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  END_HEADERS,
  encodeFrame,
  encodeHeaders,
  GOAWAY,
  HEADERS,
  openLeanHttp2,
  RST_STREAM,
} from "../../../bench/clients/leanHttp2.js";
import { PermissionClient } from "../../../src/router/client/permissionClient.js";
import { type SquelchProcess, spawnSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

let replica: SquelchProcess;
beforeAll(async () => {
  replica = await spawnSquelch();
});
afterAll(() => replica?.stop());

const WATCH = "/squelch.v1.PermissionService/WatchPermissions";
const pass = (bytes: Buffer) => bytes;

it("a connection that nghttp2 gives up after a burst of cancelled calls is closed and logged, and its router reconnects", async () => {
  const client = new PermissionClient({ address: replica.grpcAddress, routerId: "router" });
  const fresh = once(client, "fresh");
  client.start();
  await fresh;
  let isLost = false;
  const beside = client.rpc.raw.makeServerStreamRequest(WATCH, pass, pass, Buffer.alloc(0), new Metadata()).resume();
  const besideEnded = once(beside, "error") as Promise<[ServiceError]>;
  client.once("stale", () => {
    isLost = true;
  });
  const freshAgain = once(client, "fresh", { signal: AbortSignal.timeout(15_000) });
  for (let burst = 0; burst < 200 && !isLost; burst++) {
    const calls = Array.from({ length: 50 }, () =>
      client.rpc.raw
        .makeServerStreamRequest(WATCH, pass, pass, Buffer.alloc(0), new Metadata())
        .on("error", () => undefined),
    );
    await new Promise((resolve) => setTimeout(resolve, 2));
    for (const call of calls) call.cancel();
  }
  await freshAgain;
  await waitFor(() => replica.lines.some((line) => line.includes("cancelled too many calls")));
  const [{ code }] = await besideEnded;
  expect(code, "a lost connection is not a defect of the replica").toBe(status.UNAVAILABLE);
  await client.close();
}, 40_000);

it("a connection that nghttp2 gives up is closed and logged, also if its client stays and answers nothing", async () => {
  const warnings = () => replica.lines.filter((line) => line.includes("cancelled too many calls")).length;
  const before = warnings();
  const [host = "", port] = replica.grpcAddress.split(":");
  let isGivenUp = false;
  const onFrame = (type: number) => {
    isGivenUp ||= type === GOAWAY;
  };
  const socket = await openLeanHttp2({ host, port: Number(port), onFrame, onEnd: () => undefined });
  const closed = once(socket, "close", { signal: AbortSignal.timeout(15_000) });
  const headers = encodeHeaders(WATCH, "localhost");
  const cancelled = Buffer.from([0, 0, 0, 8]);
  for (let stream = 1; stream < 20_000 && !isGivenUp; stream += 2) {
    const call = encodeFrame(HEADERS, END_HEADERS, stream, headers);
    if (!socket.write(Buffer.concat([call, encodeFrame(RST_STREAM, 0, stream, cancelled)]))) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  await closed;
  await waitFor(() => warnings() > before);
}, 40_000);
