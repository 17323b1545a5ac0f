import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { WebSocket } from "ws";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { endChild, findFreePort, startChild } from "../../support/childProcess.js";
import { connect } from "../../support/clients/watchClient.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const teardowns: (() => unknown)[] = [];
afterEach(async () => {
  for (const teardown of teardowns.splice(0).reverse()) await teardown();
});

it("the router in the README brings an assignment to a WebSocket", async () => {
  const replica = await startSquelch();
  teardowns.push(() => replica.close());
  const port = await findFreePort();
  const [, sample = ""] = /```ts\n([\s\S]*?)```/.exec(await readFile("README.md", "utf8")) ?? [];
  const program = sample.replace("127.0.0.1:50051", replica.grpcAddress).replace("port: 8090", `port: ${port}`);
  // Within the project, so that it finds the package by its name.
  const directory = await mkdtemp(join("test", "readme-"));
  teardowns.push(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, "router.mts"), program);
  const router = await startChild(process.execPath, ["--import", "tsx", join(directory, "router.mts")], {
    stdio: "inherit",
  });
  teardowns.push(() => endChild(router, "SIGKILL"));

  const frames: string[] = [];
  const socket = await waitFor(
    () =>
      new Promise<WebSocket | false>((resolve) => {
        const attempt = new WebSocket(`ws://127.0.0.1:${port}/festival/anna`);
        attempt.on("open", () => resolve(attempt)).on("error", () => resolve(false));
        attempt.on("message", (frame) => frames.push(String(frame)));
      }),
    { timeoutMs: 15_000, message: "the router to listen" },
  );
  teardowns.push(() => socket.terminate());
  const client = connect(replica.grpcAddress);
  teardowns.push(() => client.close());
  const { setUserChannels } = PermissionService.method;
  await client.unary(setUserChannels, { eventId: "festival", userId: "anna", channelIds: ["stage"] });
  const frame = await waitFor(() => frames.find((text) => text.includes("permission-update")));
  expect(JSON.parse(frame)).toMatchObject({ data: { eventId: "festival", channelIds: ["stage"], added: ["stage"] } });
});
