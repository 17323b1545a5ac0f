import { createRedisEngine, type RedisEngineOptions } from "../../src/engine/redis/engine.js";
import { createLogger } from "../../src/lib/logger.js";
import { startCluster } from "../support/redis/startCluster.js";
import { startRedis } from "../support/redis/startRedis.js";
import { stopAll } from "../support/stopAll.js";
import { waitFor } from "../support/waitFor.js";
import { describeEngineContract, describeLimitContract } from "./engineContract.js";
import { SMALL_LIMITS } from "./membership/limitContract.js";

type Server = { url: string; stop(): Promise<void> };

const setUp =
  (start: () => Promise<{ servers: Server[]; options: Omit<RedisEngineOptions, "logger"> }>) => async () => {
    const { servers, options } = await start();
    const engine = createRedisEngine({ ...options, logger: createLogger("test", "silent") });
    await engine.start();
    await waitFor(() => engine.feedHealth().healthy, { message: "a healthy feed" });
    return {
      engine,
      async teardown() {
        await engine.close();
        await stopAll(servers);
      },
    };
  };

describeEngineContract(
  "redis, on a Cluster,",
  setUp(async () => {
    const cluster = await startCluster({ replicas: 0 });
    return { servers: [cluster], options: { url: cluster.url, layout: "cluster" } };
  }),
);

describeEngineContract(
  "redis, in the layout of a Cluster and with an ingest of its own,",
  setUp(async () => {
    const [state, ingest] = await Promise.all([startRedis(), startRedis()]);
    const options = { url: state.url, ingestUrl: ingest.url, layout: "cluster" } as const;
    return { servers: [state, ingest], options };
  }),
);

describeLimitContract(
  "redis, in the layout of a Cluster,",
  setUp(async () => {
    const redis = await startRedis();
    return { servers: [redis], options: { url: redis.url, layout: "cluster", limits: SMALL_LIMITS } };
  }),
);
