import type { EventLimits } from "../../src/domain/eventLimits.js";
import { createMemoryEngine } from "../../src/engine/memory/engine.js";
import { createLogger } from "../../src/lib/logger.js";
import { describeEngineContract, describeLimitContract } from "./engineContract.js";
import { SMALL_LIMITS } from "./membership/limitContract.js";

const setUp = (limits?: EventLimits) => async () => {
  const engine = createMemoryEngine({ logger: createLogger("test", "silent"), ...(limits && { limits }) });
  await engine.start();
  return { engine, teardown: () => engine.close() };
};

describeEngineContract("memory", setUp());
describeLimitContract("memory", setUp(SMALL_LIMITS));
