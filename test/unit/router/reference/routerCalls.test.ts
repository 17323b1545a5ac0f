import { credentials } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { idProblem, MAX_ID_BYTES } from "../../../../src/domain/id.js";
import { GrpcClient } from "../../../../src/lib/grpcService.js";
import { RouterCalls } from "../../../../src/router/reference/routerCalls.js";
import { startFakeService } from "../../../support/fakes/fakeService.js";

describe("the actor of a router's calls", () => {
  it.each([
    ["a user id as long as one may be", "u".repeat(MAX_ID_BYTES)],
    ["a user id beyond ASCII", "zoë 😀"],
  ])("is an id for %s", async (_, userId) => {
    const pause = { pauseId: "p1" };
    const service = await startFakeService({ pauseAllSpeakers: () => ({ pause }) });
    const client = new GrpcClient(service.address, credentials.createInsecure());
    try {
      const identity = {
        userId,
        userName: "Dora",
        eventId: "e1",
        role: "DISPATCH",
        globalRole: "NONE",
        channelIds: [],
      };
      expect(await new RouterCalls(client, "router{1}").startBroadcast(identity, "r1")).toMatchObject(pause);
      const actor = String(service.calls[0]?.metadata.get("squelch-actor")[0]);
      expect(actor).toMatch(/^user:/);
      expect(idProblem(actor)).toBeUndefined();
    } finally {
      client.close();
      service.close();
    }
  });

  it("is a valid id for a router with an invalid name", async () => {
    const service = await startFakeService({ getChannelState: () => ({ eventId: "e1" }) });
    const client = new GrpcClient(service.address, credentials.createInsecure());
    try {
      await new RouterCalls(client, "router{1}".repeat(20)).getChannel("a");
      expect(idProblem(String(service.calls[0]?.metadata.get("squelch-actor")[0]))).toBeUndefined();
    } finally {
      client.close();
      service.close();
    }
  });
});
