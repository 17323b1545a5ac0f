import { describe, expect, it } from "vitest";
import { signToken, WsClient } from "../../../support/clients/wsClient.js";
import {
  clients,
  connect,
  held,
  joinA,
  SECRET,
  server,
  startRouter,
  useRoutersOnFakeServer,
} from "../../../support/fakes/routersOnFakeServer.js";
import { waitFor } from "../../../support/waitFor.js";

useRoutersOnFakeServer();

const nowS = () => Math.floor(Date.now() / 1_000);
const sign = (claims: Record<string, unknown>, expiresIn?: string, secret = SECRET) =>
  signToken(secret, { userId: "u1", eventId: "e1", ...claims }, expiresIn);

describe("pitfall 39: a session lasts as long as its token", () => {
  it("is closed with 4001 at exp, and its floor is free", async () => {
    const router = await startRouter();
    server.setUserChannels("e1", "u1", ["a"]);
    const client = await WsClient.connect(router.wsAddress, await sign({}, "3s"));
    clients.push(client);
    await client.request("join-channel", { channelId: "a" });
    await client.request("ptt-start", { channelId: "a" });
    expect(held("a")).toBe("u1");
    await waitFor(() => client.closed);
    expect(client.closed).toEqual({ code: 4001, reason: "Your token has expired" });
    await waitFor(() => held("a") === undefined, { message: "the floor to be free" });
  });

  it("continues with a new token for the same user and event, and takes its role", async () => {
    const router = await startRouter();
    const client = await WsClient.connect(router.wsAddress, await sign({ role: "DISPATCH" }, "3s"));
    clients.push(client);
    const renew = async (token: unknown) => client.request("renew-token", { token });
    expect((await renew(await sign({ userId: "u2" }))).error).toContain("another user");
    expect((await renew(await sign({ eventId: "e2" }))).error).toContain("another event");
    expect((await renew(await sign({}, "1h", "another secret"))).error).toBe("Invalid or expired token");
    expect((await renew(7)).error).toBe("token is required");
    const renewed = await renew(await sign({ role: "USER" }, "1h"));
    expect(renewed.data).toMatchObject({ success: true });
    expect(renewed.data.expiresAt).toBeGreaterThan(Date.now() + 3_000_000);
    await new Promise((resolve) => setTimeout(resolve, 3_500));
    expect(client.closed).toBeUndefined();
    expect((await client.request("emergency-broadcast-start")).error).toContain("only dispatchers");
  });

  it("needs an exp within the horizon, and tolerates clocks that differ by 5 s", async () => {
    const router = await startRouter({ tokenHorizonMs: 60_000 });
    const open = async (claims: Record<string, unknown>, expiresIn = "30s") => {
      const client = await WsClient.connect(router.wsAddress, await sign(claims, expiresIn));
      clients.push(client);
      return client;
    };
    await expect(open({}, "120s")).rejects.toThrow("401 Invalid token: exp is too far ahead");
    await expect(open({}, "-10s")).rejects.toThrow("401 Invalid or expired token");
    await expect(open({ nbf: nowS() + 20 })).rejects.toThrow("401");
    expect(await open({ nbf: nowS() + 3 })).toBeDefined();
    const late = await open({}, "-1s");
    await waitFor(() => late.closed);
    expect(late.closed?.code).toBe(4001);
  });

  it("is refused without exp", async () => {
    const router = await startRouter();
    const { SignJWT } = await import("jose");
    for (const exp of [undefined, 1e300]) {
      const claims = { userId: "u1", eventId: "e1", ...(exp !== undefined && { exp }) };
      const token = await new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).sign(Buffer.from(SECRET));
      await expect(WsClient.connect(router.wsAddress, token)).rejects.toThrow("401 Invalid token: exp is");
    }
  });

  it("may be signed by any of several secrets", async () => {
    const router = await startRouter({ jwtSecret: ["the next secret", SECRET] });
    expect(await connect(router, "u1")).toBeDefined();
    const token = await sign({}, "1h", "the next secret");
    clients.push(await WsClient.connect(router.wsAddress, token));
    await expect(WsClient.connect(router.wsAddress, await sign({}, "1h", "a third"))).rejects.toThrow("401");
    await expect(startRouter({ jwtSecret: [] })).rejects.toThrow("jwtSecret");
  });

  it("is refused with an id that is a number above 2^53", async () => {
    const router = await startRouter();
    const token = await sign({ userId: 2 ** 53 });
    await expect(WsClient.connect(router.wsAddress, token)).rejects.toThrow("401 Invalid token: userId must be");
    const client = await joinA(router, "dora", { role: "DISPATCH" });
    client.socket.send('{"type":"force-disconnect","id":"n1","data":{"targetUserId":9007199254740993}}');
    const refused = await waitFor(() => client.frames.find(({ id }) => id === "n1"));
    expect(refused.error).toContain("targetUserId must be a whole number");
    expect(server.callsOf("disconnectUser")).toEqual([]);
  });
});
