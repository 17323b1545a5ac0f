import { afterAll, beforeAll, describe } from "vitest";
import type { Engine } from "../../src/domain/ports.js";
import { describeChannelIndex } from "./channelIndexContract.js";
import { describeFloor } from "./floorContract.js";
import { describeIsolation } from "./isolationContract.js";
import { describeLog } from "./logContract.js";
import { describeMemberships } from "./membershipContract.js";
import { describePause } from "./pauseContract.js";
import { describeSync } from "./syncContract.js";

/** What every engine must do. The engine is set up, and started, once; each test uses events of its own. */
export function describeEngineContract(
  name: string,
  setup: () => Promise<{ engine: Engine; teardown(): Promise<void> }>,
): void {
  describe(`${name} engine`, () => {
    let running: Awaited<ReturnType<typeof setup>>;
    const getEngine = () => running.engine;

    beforeAll(async () => {
      running = await setup();
    });
    afterAll(() => running?.teardown());

    describe("log", () => describeLog(getEngine));
    describe("memberships", () => describeMemberships(getEngine));
    describe("sync of members", () => describeSync(getEngine));
    describe("channel index", () => describeChannelIndex(getEngine));
    describe("floor", () => describeFloor(getEngine));
    describe("pause", () => describePause(getEngine));
    describe("isolation", () => describeIsolation(getEngine));
  });
}
