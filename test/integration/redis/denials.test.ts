import { randomUUID } from "node:crypto";
import type { DescMethodUnary } from "@bufbuild/protobuf";
import { type ServiceError, status } from "@grpc/grpc-js";
import { describe, expect, it, type TestContext } from "vitest";
import type { GrpcClient } from "../../../src/lib/grpcService.js";
import { methods } from "../../support/clients/methods.js";
import { connect, watchOn } from "../../support/clients/watchClient.js";
import { aclLines, applyRights, withUser } from "../../support/redis/aclLines.js";
import { startRedis } from "../../support/redis/startRedis.js";
import { type SquelchProcess, spawnSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const { banUser, listAuditEntries, pauseAllSpeakers, reconcileMemberships, setUserChannels } = methods;

/** A replica can serve without these commands. They name connections, examine the server, or confirm writes. */
const OPTIONAL = ["client|setname", "info", "ping", "role", "select", "eval", "unsubscribe", "wait"];
const RIGHTS = aclLines("acl")
  .flat()
  .flatMap((word) => (word.startsWith("+") ? word.slice(1) : []))
  .filter((right) => !OPTIONAL.includes(right));
/** The number of replicas that lose rights at the same time. */
const LANES = 4;

/** Uses the replica in each way. Returns the errors that its callers receive. */
async function use(client: GrpcClient): Promise<string[]> {
  const eventId = randomUUID();
  const calls = [
    [setUserChannels, { eventId, userId: "anna", channelIds: [`${eventId}-stage`] }],
    [pauseAllSpeakers, { eventId, requestId: eventId }],
    [banUser, { eventId, userId: "ben" }],
    [listAuditEntries, {}],
    [reconcileMemberships, {}],
  ] as const;
  const answers = calls.map(async ([method, request]) => {
    try {
      await client.unary(method as DescMethodUnary, request);
      return [];
    } catch (error) {
      const { code, details } = error as ServiceError;
      expect(code, details).toBe(status.UNAVAILABLE);
      return [details];
    }
  });
  const watch = watchOn(client, { eventIds: [eventId] });
  // The watch either begins or ends with the denial.
  const begun = watch.caughtUp().then(
    () => [],
    ({ details }: ServiceError) => [details],
  );
  const told = await Promise.all([...answers, begun]);
  watch.close();
  return told.flat();
}

const readinessOf = ({ httpAddress }: SquelchProcess) => fetch(`http://${httpAddress}/readyz`);

async function startLane(onTestFinished: TestContext["onTestFinished"]) {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  await applyRights(redis, "acl");
  const replica = await spawnSquelch(["--redis-url", withUser(redis.url, "squelch")]);
  onTestFinished(() => replica.stop());
  const client = connect(replica.grpcAddress);
  onTestFinished(() => client.close());
  const isReady = async () => (await readinessOf(replica)).ok;
  await waitFor(isReady);

  /** Removes one right until a caller, the readiness or the log names the denied command, then restores it. */
  return async (right: string) => {
    const told: string[] = [];
    const loggedBefore = replica.lines.length;
    const [command = ""] = right.split("|");
    const isNamed = (text: string) => text.includes("NOPERM") && text.toUpperCase().includes(command.toUpperCase());
    await redis.cli("ACL", "SETUSER", "squelch", `-${right}`);
    await waitFor(
      async () => {
        told.push(...(await use(client)), await (await readinessOf(replica)).text());
        return [...told, ...replica.lines.slice(loggedBefore)].some(isNamed);
      },
      { message: () => `a denial of ${right}, not only ${[...new Set(told)].join("; ")}` },
    );
    await redis.cli("ACL", "SETUSER", "squelch", `+${right}`);
    await waitFor(isReady);
  };
}

describe.concurrent("a removed right of docs/operations.md", () => {
  const lanes = Array.from({ length: LANES }, (_, lane) => RIGHTS.filter((__, index) => index % LANES === lane));
  it.for(lanes.map((rights) => ({ rights, names: rights.join(", ") })))(
    "is named, and callers get UNAVAILABLE (G9): $names",
    { timeout: 240_000 },
    async ({ rights }, { onTestFinished }) => {
      const deny = await startLane(onTestFinished);
      for (const right of rights) await deny(right);
    },
  );
});
