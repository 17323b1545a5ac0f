import { afterEach, expect, it } from "vitest";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { FloorDenyCause } from "../../../gen/squelch/v1/model_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { connect } from "../../support/clients/watchClient.js";
import { type SquelchProcess, spawnSquelch } from "../../support/startSquelch.js";

let squelch: SquelchProcess;
afterEach(() => squelch?.stop());

const WARNING = "the membership check is off: users may speak on channels that are not assigned to them";

/** Returns the answer to a stranger who presses on a channel of the event. */
async function pressAsStranger() {
  const client = connect(squelch.grpcAddress);
  try {
    await client.unary(PermissionService.method.setUserChannels, { eventId: "e", userId: "u", channelIds: ["a"] });
    return (await client.unary(ChannelService.method.startPtt, { channelId: "a", userId: "stranger" })).outcome;
  } finally {
    client.close();
  }
}

it("pitfall 3: a user gets the floor only on assigned channels", async () => {
  squelch = await spawnSquelch();
  expect(await pressAsStranger()).toMatchObject({ case: "denied", value: { cause: FloorDenyCause.RECEIVE_ONLY } });
  expect(squelch.lines.join("\n")).not.toContain(WARNING);
});

it("the membership check can be switched off, and a replica logs this at start", async () => {
  squelch = await spawnSquelch([], { SQUELCH_MEMBERSHIP_CHECK: "off" });
  expect(await pressAsStranger()).toMatchObject({ case: "granted" });
  expect(squelch.lines.map((line) => JSON.parse(line).msg)).toContain(WARNING);
});
