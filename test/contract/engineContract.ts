import { afterAll, beforeAll, describe } from "vitest";
import type { Engine } from "../../src/domain/ports/engine.js";
import { describeApplied } from "./fleet/appliedContract.js";
import { describeAudit } from "./fleet/auditContract.js";
import { describeFleet } from "./fleet/fleetContract.js";
import { describeLog } from "./fleet/logContract.js";
import { describeChannelIndex } from "./floor/channelIndexContract.js";
import { describeFloor } from "./floor/floorContract.js";
import { describeLeases } from "./floor/leaseContract.js";
import { describePause } from "./floor/pauseContract.js";
import { describePriorities } from "./floor/priorityContract.js";
import { describeQueue } from "./floor/queueContract.js";
import { describeTakeOver } from "./floor/takeOverContract.js";
import { describeBans } from "./membership/banContract.js";
import { describeDisconnections } from "./membership/disconnectContract.js";
import { describeIsolation } from "./membership/isolationContract.js";
import { describeLimits } from "./membership/limitContract.js";
import { describeMemberships } from "./membership/membershipContract.js";
import { describeSync } from "./membership/syncContract.js";

type SetUpEngine = () => Promise<{ engine: Engine; teardown(): Promise<void> }>;

/** Tests the contract of every engine. The engine is set up and started once, and each test uses its own events. */
export function describeEngineContract(name: string, setup: SetUpEngine): void {
  describe(`${name} engine`, () => {
    const getEngine = runEngine(setup);
    describe("log", () => describeLog(getEngine));
    describe("memberships", () => describeMemberships(getEngine));
    describe("sync of members", () => describeSync(getEngine));
    describe("channel index", () => describeChannelIndex(getEngine));
    describe("floor", () => describeFloor(getEngine));
    describe("leases", () => describeLeases(getEngine));
    describe("priorities", () => describePriorities(getEngine));
    describe("queue", () => describeQueue(getEngine));
    describe("pause", () => describePause(getEngine));
    describe("take-over of a pause", () => describeTakeOver(getEngine));
    describe("disconnections", () => describeDisconnections(getEngine));
    describe("bans", () => describeBans(getEngine));
    describe("applied", () => describeApplied(getEngine));
    describe("fleet", () => describeFleet(getEngine));
    describe("audit", () => describeAudit(getEngine));
    describe("isolation", () => describeIsolation(getEngine));
  });
}

/** The part of it that is about memberships. */
export function describeMembershipContract(name: string, setup: SetUpEngine): void {
  describe(`${name} engine`, () => {
    const getEngine = runEngine(setup);
    describe("memberships", () => describeMemberships(getEngine));
    describe("sync of members", () => describeSync(getEngine));
  });
}

/** Tests the contract of an engine that is started with `SMALL_LIMITS`. */
export function describeLimitContract(name: string, setup: SetUpEngine): void {
  describe(`${name} engine`, () => {
    const getEngine = runEngine(setup);
    describe("limits", () => describeLimits(getEngine));
  });
}

function runEngine(setup: SetUpEngine): () => Engine {
  let running: Awaited<ReturnType<SetUpEngine>>;
  beforeAll(async () => {
    running = await setup();
  });
  afterAll(() => running?.teardown());
  return () => running.engine;
}
