import { afterEach, expect, it } from "vitest";
import { WebSocket } from "ws";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { endChild, findFreePort, startChild } from "../../support/childProcess.js";
import { connect } from "../../support/clients/watchClient.js";
import { signToken, WsClient } from "../../support/clients/wsClient.js";
import { collectLines } from "../../support/collectLines.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const SECRET = "of the example";
const { setUserChannels, pauseAllSpeakers } = PermissionService.method;

const teardowns: (() => unknown)[] = [];
afterEach(async () => {
  for (const teardown of teardowns.splice(0).reverse()) await teardown();
});

it("the TypeScript example is a router: grants, speech, a pause and a revocation arrive", async () => {
  const replica = await startSquelch();
  teardowns.push(() => replica.close());
  const grpc = connect(replica.grpcAddress);
  teardowns.push(() => grpc.close());
  const port = await findFreePort();
  const program = ["--import", "tsx", "examples/typescript/router.mts", replica.grpcAddress, String(port)];
  const router = await startChild(process.execPath, program, {
    env: { ...process.env, SQUELCH_JWT_SECRET: SECRET },
    stdio: ["ignore", "pipe", "inherit"],
  });
  teardowns.push(() => endChild(router, "SIGKILL"));
  const lines = collectLines(router.stdout);
  await waitFor(() => lines.some((line) => line.startsWith("listening")), { timeoutMs: 15_000 });

  const assign = (userId: string, channelIds: string[]) =>
    grpc.unary(setUserChannels, { eventId: "festival", userId, channelIds });
  const join = async (userId: string) => {
    const token = await signToken(SECRET, { eventId: "festival", userId });
    const client = WsClient.on(new WebSocket(`ws://127.0.0.1:${port}/?token=${token}`));
    teardowns.push(() => client.socket.terminate());
    await client.next("channel-list");
    await assign(userId, ["stage"]);
    await client.next("permission-update");
    expect(await client.request("join-channel", { channelId: "stage" })).toMatchObject({ data: { success: true } });
    return client;
  };
  const anna = await join("anna");
  const ben = await join("ben");
  expect(await anna.request("ptt-start", { channelId: "stage" })).toMatchObject({ data: { success: true } });
  await waitFor(() => ben.of("speaker-changed").some(({ data }) => data.currentSpeaker === "anna"));
  expect(await ben.request("ptt-start", { channelId: "stage" })).toMatchObject({ data: { denied: true } });
  await grpc.unary(pauseAllSpeakers, { eventId: "festival", reason: "Storm" });
  await anna.next("ptt-interrupted");
  await assign("ben", []);
  await waitFor(() => ben.of("permission-update").some(({ data }) => data.removed.includes("stage")));
  expect(await ben.request("join-channel", { channelId: "stage" })).toMatchObject({
    error: "Permission denied: not authorized for this channel",
  });
});
