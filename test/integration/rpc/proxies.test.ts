import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { credentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { GrpcClient } from "../../../src/lib/grpcService.js";
import type { Replica } from "../../../src/server/start.js";
import { type Browser, startBrowser } from "../../support/browser.js";
import { watchOn } from "../../support/clients/watchClient.js";
import { WatchedPicture } from "../../support/clients/watchedPicture.js";
import { exampleOf, READ_TIMEOUT_MS, type RunningProxy, startProxy } from "../../support/proxies.js";
import { TEST_CA } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

/** The longest time for a message through a proxy that does not buffer, ms. */
const PROMPT_MS = 1_000;
const ca = readFileSync(TEST_CA);

let replica: Replica;
let browser: Browser;
beforeAll(async () => {
  replica = await startSquelch();
  browser = await startBrowser({ ignoreHTTPSErrors: true });
});
afterAll(async () => {
  await browser?.close();
  await replica?.close();
});

const { setUserChannels } = PermissionService.method;

function readWatch(permissions: Client<typeof PermissionService>, eventId: string) {
  const picture = new WatchedPicture();
  const cancelling = new AbortController();
  const request = { eventIds: [eventId], checkpointInterval: durationFromMs(1_000) };
  const read = async () => {
    for await (const message of permissions.watchPermissions(request, { signal: cancelling.signal, timeoutMs: 0 })) {
      picture.apply(message);
    }
  };
  let failure: unknown;
  const ended = read().catch((error: unknown) => {
    if (!cancelling.signal.aborted) failure = error;
  });
  return {
    picture,
    failure: () => failure,
    async stop() {
      cancelling.abort();
      await ended;
    },
  };
}

async function expectPromptWatch(transport: Transport): Promise<void> {
  const permissions = createClient(PermissionService, transport);
  const eventId = randomUUID();
  const { picture, failure, stop } = readWatch(permissions, eventId);
  const soon = { timeoutMs: PROMPT_MS };
  await waitFor(() => picture.checkpoints.length > 0, { ...soon, message: () => `a checkpoint: ${failure()}` });
  await permissions.setUserChannels({ eventId, userId: "anna", channelIds: [`${eventId}-a`] });
  await waitFor(() => picture.changes.length === 1, soon);
  await stop();
}

const TRANSPORTS: [string, (baseUrl: string, httpVersion: "1.1" | "2") => Transport][] = [
  ["Connect", (baseUrl, httpVersion) => createConnectTransport({ baseUrl, httpVersion, nodeOptions: { ca } })],
  ["gRPC-Web", (baseUrl, httpVersion) => createGrpcWebTransport({ baseUrl, httpVersion, nodeOptions: { ca } })],
];

describe.each(["nginx", "haproxy"] as const)("behind %s with the configuration in docs/operations.md", (name) => {
  let proxy: RunningProxy;
  let grpc: GrpcClient;
  beforeAll(async () => {
    proxy = await startProxy(name, replica);
    grpc = new GrpcClient(proxy.grpcAddress, credentials.createSsl(ca));
  });
  afterAll(async () => {
    grpc?.raw.close();
    await proxy?.stop();
  });

  it.each(
    TRANSPORTS.flatMap(([protocol, create]) =>
      (["1.1", "2"] as const).map((version) => ({ protocol, version, create })),
    ),
  )("a watch over $protocol and HTTP/$version gets each message at once (pitfall 64)", ({ create, version }) =>
    expectPromptWatch(create(`https://${proxy.httpAddress}`, version)),
  );

  it("a watch over gRPC outlives the read timeout, and gets each message at once", async () => {
    const eventId = randomUUID();
    const watch = watchOn(grpc, { eventIds: [eventId], checkpointInterval: durationFromMs(1_000) });
    await watch.caughtUp();
    const checkpoints = Math.ceil((2 * READ_TIMEOUT_MS) / 1_000);
    await waitFor(() => watch.error ?? watch.picture.checkpoints.length > checkpoints);
    expect(watch.error).toBeUndefined();
    await grpc.unary(setUserChannels, { eventId, userId: "anna", channelIds: [`${eventId}-a`] });
    await waitFor(() => watch.picture.changes.length === 1, { timeoutMs: PROMPT_MS });
    watch.close();
  });

  it("the console shows what happens", async () => {
    const page = await browser.context.newPage();
    const eventId = `event-${randomUUID()}`;
    await page.goto(`https://${proxy.httpAddress}/`);
    await page.locator('.status-bar[data-level="live"]').waitFor({ timeout: 5_000 });
    await grpc.unary(setUserChannels, { eventId, userId: "anna", channelIds: [`${eventId}-a`] });
    await page.getByText(eventId).first().waitFor({ timeout: 5_000 });
    await page.close();
  });
});

it.each(TRANSPORTS)(
  "a watch over %s gets each message at once behind nginx with its defaults (pitfall 64)",
  async (_, create) => {
    const proxy = await startProxy("bareNginx", replica);
    await expectPromptWatch(create(`http://${proxy.httpAddress}`, "1.1")).finally(() => proxy.stop());
  },
);

it("docs/operations.md has an example for Envoy that lets streams live", () => {
  const example = exampleOf("yaml");
  const { listeners, clusters } = parse(example, { merge: true }).static_resources;
  expect([listeners.length, clusters.length]).toEqual([2, 2]);
  for (const { name } of clusters) {
    expect(example).toContain(`- { match: { prefix: / }, route: { cluster: ${name}, timeout: 0s } }`);
  }
  expect(JSON.stringify(clusters[0])).toContain("http2_protocol_options");
});
