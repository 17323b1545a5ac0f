import { describe, expect, it } from "vitest";
import { verifyClientToken } from "../../../../src/router/reference/clientToken.js";
import { signToken } from "../../../support/clients/wsClient.js";

const SECRET = "the clients' secret";
const RULES = { secrets: [new TextEncoder().encode(SECRET)], horizonMs: 86_400_000 };
const read = async (claims: Record<string, unknown>) => {
  const token = await signToken(SECRET, { userId: "u1", eventId: "e1", ...claims });
  return (await verifyClientToken(token, RULES)).identity;
};

describe("the channels in a token", () => {
  it("may be numbers, and an invalid id does not affect the rest", async () => {
    const { channelIds } = await read({ channelIds: ["a", 7, "", "b{", null, {}, ["c"], 2 ** 53, "😀"] });
    expect(channelIds).toEqual(["a", "7", "😀"]);
  });

  it.each([undefined, null, "a", { a: 1 }])("are none where they are %j", async (channelIds) => {
    expect(await read({ channelIds })).toMatchObject({ channelIds: [] });
  });
});
