import { readFileSync } from "node:fs";
import { type DescMethod, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import {
  WatchPermissionsRequestSchema,
  WatchPermissionsResponseSchema,
} from "../../../gen/squelch/v1/permission_service_pb.js";
import type { LogEntry } from "../../../src/domain/change.js";
import { services } from "../../../src/server/contract.js";
import { toChangeMessage } from "../../../src/server/feed/wire/messages.js";
import { parseMembershipUpdate } from "../../../src/server/state/membershipUpdate.js";

const text = readFileSync("docs/protocol.md", "utf8");
const blocks = [...text.matchAll(/^```json\n(.*?)^```$/gms)].map(([, json = ""]) => JSON.parse(json) as JsonValue);
const methods = services.flatMap((service): DescMethod[] => service.methods);

/** The first example that has the field. */
function blockWith(field: string): JsonValue {
  const block = blocks.find((candidate) => field in (candidate as object));
  if (block === undefined) throw new Error(`no example has "${field}"`);
  return block;
}

it("docs/protocol.md shows requests that the contract accepts", () => {
  const calls = [...text.matchAll(/^call (\w+)\/(\w+) '(.*?)'/gm)];
  expect(calls.length).toBeGreaterThan(5);
  for (const [, service, name, json = ""] of calls) {
    const method = methods.find((known) => known.name === name && known.parent.name === service);
    if (method === undefined) throw new Error(`there is no ${service}/${name}`);
    fromJson(method.input, JSON.parse(json));
  }
  expect(fromJson(WatchPermissionsRequestSchema, blockWith("cursors")).cursors).toHaveLength(1);
});

it("docs/protocol.md shows a valid answer of the contract", () => {
  expect(fromJson(WatchPermissionsResponseSchema, blockWith("changes")).payload.case).toBe("changes");
});

it("docs/protocol.md shows updates that the ingest can read", () => {
  const published = [...text.matchAll(/^redis-cli PUBLISH vp:membership_updates \\\n +'(.*?)'$/gm)];
  expect(published).not.toEqual([]);
  const updates = [JSON.stringify(blockWith("channelIds")), ...published.map(([, json = ""]) => json)];
  for (const update of updates) {
    expect(parseMembershipUpdate(Buffer.from(update))).toMatchObject({ eventId: "festival" });
  }
});

it("docs/protocol.md shows a log entry that a replica can read", () => {
  const entry = blockWith("timeMs") as unknown as LogEntry;
  expect(toChangeMessage(entry)).toMatchObject({ revision: 1n, kind: { case: "membershipChanged" } });
});
