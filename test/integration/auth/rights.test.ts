import type { DescMethod } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { SCOPES } from "../../../src/domain/identity.js";
import type { Replica } from "../../../src/server/start.js";
import { bearer, type CallAny, connectBothServers } from "../../support/clients/callBothServers.js";
import { methods } from "../../support/clients/methods.js";
import { startSquelch } from "../../support/startSquelch.js";
import { mintToken, TOKEN_SECRET } from "../../support/tokens.js";

const permissions = methods;
const channels = ChannelService.method;

const eventId = "festival";
const channelId = "stage";
const userId = "anna";
const cursor = { eventId, epoch: "x", revision: 0n };

/** Each call with a valid request, and the scopes of which one is enough. `admin` is always enough. */
const CALLS: [DescMethod, object, string[]][] = [
  [permissions.watchPermissions, { eventIds: [eventId] }, ["watch"]],
  [permissions.getUserPermissions, { eventId, userId }, ["watch", "assign"]],
  [permissions.setUserChannels, { eventId, userId, channelIds: [channelId] }, ["assign"]],
  [permissions.setUserChannels, { eventId, userId, onlyIfUnknown: true }, ["assign", "floor"]],
  [permissions.syncEventMembers, { eventId, users: [{ userId, channelIds: [channelId] }] }, ["assign"]],
  [permissions.reconcileMemberships, {}, []],
  [permissions.getEventActiveSpeakers, { eventId }, ["watch", "pause"]],
  [permissions.pauseAllSpeakers, { eventId, duration: { seconds: 0n } }, ["pause"]],
  [permissions.resumeSpeakers, { eventId, pauseId: "p" }, ["pause"]],
  [permissions.disconnectUser, { eventId, userId }, ["assign", "pause"]],
  [permissions.banUser, { eventId, userId }, []],
  [permissions.unbanUser, { eventId, userId }, []],
  [permissions.listBans, { eventId }, ["watch"]],
  [permissions.getFleetStatus, {}, ["watch"]],
  [permissions.listAuditEntries, { eventIds: [eventId] }, ["assign", "pause"]],
  [permissions.reportApplied, { routerId: "r", cursors: [cursor] }, ["watch"]],
  [permissions.awaitApplied, { eventId, timeout: { seconds: 0n } }, ["watch", "assign", "pause"]],
  [channels.setChannelEvent, { channelId, eventId }, ["assign"]],
  [channels.setChannelEvent, { channelId, eventId, onlyIfUnassigned: true }, ["assign", "floor"]],
  [channels.getChannelEvent, { channelId }, ["watch"]],
  [channels.listEventChannels, { eventId }, ["watch"]],
  [channels.startPtt, { channelId, userId }, ["floor"]],
  [channels.renewPtt, { channelId, leaseId: 1n }, ["floor"]],
  [channels.stopPtt, { channelId, leaseId: 1n }, ["floor"]],
  [channels.getChannelState, { channelId }, ["watch", "floor"]],
  [channels.watchChannels, { eventIds: [eventId] }, ["watch"]],
];

let replica: Replica;
let servers: ReturnType<typeof connectBothServers>;

beforeAll(async () => {
  replica = await startSquelch({ tokenSecret: TOKEN_SECRET });
  servers = connectBothServers(replica);
  const admin = bearer(await mintToken({ scope: "admin" }));
  const assigned = await servers.grpc(permissions.setUserChannels, { eventId, userId, channelIds: [channelId] }, admin);
  expect(assigned.code).toBe("OK");
});
afterAll(async () => {
  servers?.close();
  await replica?.close();
});

/** Calls that concern all events. Callers that are limited to some events may not make them. */
const FLEET_WIDE = ["ReconcileMemberships", "BanUser", "UnbanUser", "ListBans", "GetFleetStatus"];

const REFUSALS = ["UNAUTHENTICATED", "PERMISSION_DENIED"];

/** Calls on both servers, which must refuse in the same way, and returns the refusal; undefined if there was none. */
async function refusalOf(method: DescMethod, request: object, headers: Record<string, string>) {
  const { grpc, http } = servers;
  const ends = await Promise.all([grpc, http].map((server: CallAny) => server(method, request, headers)));
  const [refusal, refusalOverHttp] = ends.map((end) => (REFUSALS.includes(end.code) ? end : undefined));
  expect(refusalOverHttp, "the HTTP server").toEqual(refusal);
  const signature = headers.authorization?.split(".").at(-1) ?? "a token that was not sent";
  expect(ends[0]?.message).not.toContain(signature);
  return refusal?.code;
}

it("the table has every call of all services", () => {
  const all = Object.values(methods).map(({ name }) => name);
  expect(new Set(CALLS.map(([{ name }]) => name))).toEqual(new Set(all));
});

describe.each(CALLS.map(([method, ...rest]) => [method.name, method, ...rest] as const))(
  "%s",
  (_, method, request, scopes) => {
    it("is refused without a token, with an invalid one and with an expired one", async () => {
      const scope = SCOPES.join(" ");
      const expiredS = Math.floor(Date.now() / 1_000) - 60;
      const tokens = [
        undefined,
        await mintToken({ scope }, "another secret, as long as the right one"),
        await mintToken({ scope, exp: expiredS }),
        await mintToken({ scope, aud: "something else" }),
      ];
      for (const token of tokens) expect(await refusalOf(method, request, bearer(token))).toBe("UNAUTHENTICATED");
    });

    it("is refused to each scope that does not permit it, and answered to each that does", async () => {
      for (const scope of SCOPES) {
        const refusal = await refusalOf(method, request, bearer(await mintToken({ scope })));
        const isPermitted = scope === "admin" || scopes.includes(scope);
        expect([scope, refusal]).toEqual([scope, isPermitted ? undefined : "PERMISSION_DENIED"]);
      }
      expect(await refusalOf(method, request, bearer(await mintToken({})))).toBe("PERMISSION_DENIED");
    });

    it("is refused for an event outside the claim (G7), and answered for one inside", async () => {
      const limitedTo = async (...events: string[]) => bearer(await mintToken({ scope: "admin", events }));
      for (const events of [[], ["other"], ["other", "festiva", "festival2"], ["festivals*"]]) {
        expect(await refusalOf(method, request, await limitedTo(...events))).toBe("PERMISSION_DENIED");
      }
      for (const events of [[eventId], ["other", "fest*"]]) {
        const refusal = await refusalOf(method, request, await limitedTo(...events));
        expect(refusal).toBe(FLEET_WIDE.includes(method.name) ? "PERMISSION_DENIED" : undefined);
      }
    });
  },
);
