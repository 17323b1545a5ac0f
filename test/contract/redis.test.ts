import type { Engine } from "../../src/domain/ports/engine.js";
import { createRedisEngine } from "../../src/engine/redis/engine.js";
import { createLogger } from "../../src/lib/logger.js";
import { startRedis } from "../support/redis/startRedis.js";
import { createEngineWithTicketsApart } from "../support/redis/ticketsApart.js";
import { waitFor } from "../support/waitFor.js";
import { describeEngineContract, describeLimitContract, describeMembershipContract } from "./engineContract.js";
import { SMALL_LIMITS } from "./membership/limitContract.js";

const setUp = (create: (url: string) => Engine) => async () => {
  const redis = await startRedis();
  const engine = create(redis.url);
  await engine.start();
  await waitFor(() => engine.feedHealth().healthy, { message: "a healthy feed" });
  return {
    engine,
    async teardown() {
      await engine.close();
      await redis.stop();
    },
  };
};

for (const legacyRouters of [true, false]) {
  describeEngineContract(
    legacyRouters ? "redis" : "redis, without legacy routers,",
    setUp((url) => createRedisEngine({ url, logger: createLogger("test", "silent"), legacyRouters })),
  );
}
describeMembershipContract(
  "redis, with tickets from elsewhere,",
  setUp((url) => createEngineWithTicketsApart(url)),
);
describeLimitContract(
  "redis",
  setUp((url) => createRedisEngine({ url, logger: createLogger("test", "silent"), limits: SMALL_LIMITS })),
);
