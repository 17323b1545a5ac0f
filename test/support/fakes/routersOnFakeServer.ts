import { afterEach, beforeEach, expect } from "vitest";
import { createLogger } from "../../../src/lib/logger.js";
import { type ReferenceRouter, type ReferenceRouterOptions, startReferenceRouter } from "../../../src/router/index.js";
import { signToken, WsClient } from "../clients/wsClient.js";
import { FakePermissionServer } from "./fakePermissionServer.js";

/** The secret that signs the clients' tokens. */
export const SECRET = "the clients' secret";

/** The service that the routers call. A new one for each test. */
export let server: FakePermissionServer;
/** The clients that are cut off when the test ends. */
export let clients: WsClient[];
let routers: ReferenceRouter[];

/** Gives each test of the file a new service, and stops the test's clients and routers at its end. */
export function useRoutersOnFakeServer(): void {
  beforeEach(async () => {
    server = await new FakePermissionServer().start();
    routers = [];
    clients = [];
  });

  afterEach(async () => {
    for (const { socket } of clients) socket.terminate();
    await Promise.all(routers.map((router) => router.close()));
    server.stop();
  });
}

export async function startRouter(options: Partial<ReferenceRouterOptions> = {}): Promise<ReferenceRouter> {
  const router = await startReferenceRouter({
    address: server.address,
    listen: "127.0.0.1:0",
    jwtSecret: SECRET,
    checkpointIntervalMs: 1_000,
    retryDelayMs: () => 20,
    logger: createLogger("test", "silent"),
    ...options,
  });
  routers.push(router);
  return router;
}

/** Connects a client of the event `e1`. */
export async function connect(
  router: Pick<ReferenceRouter, "wsAddress">,
  userId: string,
  claims: Record<string, unknown> = {},
) {
  const client = await WsClient.connect(
    router.wsAddress,
    await signToken(SECRET, { userId, eventId: "e1", ...claims }),
  );
  clients.push(client);
  return client;
}

/** Connects a user who has the channel `a`, and joins it. */
export async function joinA(
  router: Pick<ReferenceRouter, "wsAddress">,
  userId: string,
  claims: Record<string, unknown> = {},
) {
  if (!server.event("e1").users.has(userId)) server.setUserChannels("e1", userId, ["a"]);
  const client = await connect(router, userId, claims);
  expect(await client.request("join-channel", { channelId: "a" })).toMatchObject({ data: { success: true } });
  return client;
}

/** The user who holds the floor of a channel. */
export const held = (channelId: string) => server.channels.get(channelId)?.lease?.userId;
