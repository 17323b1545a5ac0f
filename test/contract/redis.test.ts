import { createRedisEngine } from "../../src/engine/redis/engine.js";
import { createLogger } from "../../src/lib/logger.js";
import { startRedis } from "../support/startRedis.js";
import { waitFor } from "../support/waitFor.js";
import { describeEngineContract } from "./engineContract.js";

for (const legacyRouters of [true, false]) {
  describeEngineContract(legacyRouters ? "redis" : "redis, without legacy routers,", async () => {
    const redis = await startRedis();
    const engine = createRedisEngine({ url: redis.url, logger: createLogger("test", "silent"), legacyRouters });
    await engine.start();
    await waitFor(() => engine.feedHealth().healthy, { message: "a healthy feed" });
    return {
      engine,
      async teardown() {
        await engine.close();
        await redis.stop();
      },
    };
  });
}
