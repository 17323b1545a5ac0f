import type { Run } from "../run.js";
import type { StandaloneStore } from "../stores/standaloneStore.js";
import { type Fault, type FaultKind, replicaNames } from "./fault.js";

/** The longest time until a replica without connections reports that, on a busy machine, ms. */
const GONE_NOTICED_MS = 1_500;
/** The longest time until a replica reports a hung Redis, ms: it does when no probe has come back for 6 s. */
const HANG_NOTICED_MS = 7_500;

/** Kills Redis. `changeData` is called before Redis starts again, and returns the record from which on data is lost. */
function restarted(run: Run<StandaloneStore>, changeData: () => Promise<number | undefined>): Fault {
  const { store } = run.fleet;
  let endOutage = () => {};
  return {
    parties: replicaNames(run),
    async inject() {
      await store.setOpen(false);
      await store.redis.kill("SIGKILL");
      endOutage = run.beginOutage(GONE_NOTICED_MS);
    },
    async cease() {
      const backTo = await changeData();
      await store.redis.restart();
      if (backTo !== undefined) store.witness.noteLoss(backTo);
      endOutage();
      await Promise.all([backTo === 0 && run.workload.prepare(), store.setOpen(true)]);
    },
  };
}

function hangs(run: Run<StandaloneStore>): Fault {
  let endOutage = () => {};
  return {
    parties: replicaNames(run),
    inject() {
      run.fleet.store.redis.pause();
      endOutage = run.beginOutage(HANG_NOTICED_MS);
    },
    cease() {
      endOutage();
      run.fleet.store.redis.resume();
    },
  };
}

// The fault lasts only a moment. The witness uses another user, so its connections are kept.
function connectionsKilled(run: Run<StandaloneStore>, type: "pubsub" | "normal"): Fault {
  return {
    parties: replicaNames(run),
    async inject() {
      await run.fleet.store.killClients(type);
    },
    cease: () => undefined,
  };
}

/** Faults of Redis. */
export const REDIS_FAULTS: readonly FaultKind<StandaloneStore>[] = [
  {
    name: "Redis is killed and comes back with its data",
    uses: "redis",
    create: (run) => restarted(run, async () => undefined),
  },
  {
    name: "Redis is killed and comes back empty",
    uses: "redis",
    losesData: true,
    create: (run) =>
      restarted(run, async () => {
        await run.fleet.store.data.discard();
        return 0;
      }),
  },
  {
    name: "Redis is killed and comes back with an older copy of its data",
    uses: "redis",
    losesData: true,
    create: (run) => restarted(run, () => run.fleet.store.data.restore()),
  },
  { name: "Redis hangs", uses: "redis", create: hangs },
  {
    name: "Redis drops all subscribers",
    uses: "redis",
    create: (run) => connectionsKilled(run, "pubsub"),
  },
  {
    name: "Redis drops all other clients",
    uses: "redis",
    create: (run) => connectionsKilled(run, "normal"),
  },
];
