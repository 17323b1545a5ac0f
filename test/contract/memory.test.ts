import { createMemoryEngine } from "../../src/engine/memory/store.js";
import { createLogger } from "../../src/lib/logger.js";
import { describeEngineContract } from "./engineContract.js";

describeEngineContract("memory", async () => {
  const engine = createMemoryEngine({ logger: createLogger("test", "silent") });
  await engine.start();
  return { engine, teardown: () => engine.close() };
});
