import { Redis } from "ioredis";
import { waitFor } from "../../../support/waitFor.js";
import type { Random } from "../../random.js";
import type { Run } from "../../run.js";
import type { StandaloneStore } from "../../stores/standaloneStore.js";
import { type Fault, type FaultKind, replicaNames } from "../fault.js";

type StandaloneRun = Run<StandaloneStore>;

/** A number of replicas that no Redis in these tests has. */
const MANY_REPLICAS = "9";
/** A path where Redis cannot write files, even with all rights. */
const UNWRITABLE_DIRECTORY = "/proc";
/** No server listens on this port. */
const NO_MASTER = ["127.0.0.1", "1"];
/** The time after which Redis reports that it is busy with a script, ms. */
const BUSY_AFTER_MS = "50";
/** The interval at which Redis is made to forget its scripts, ms. */
const FLUSH_PACE_MS = 100;
/** Longer than the time after which replicas must report that they are not ready, ms. */
const LONG_MS = 12_000;
const LONG_CHANCE = 0.15;

interface Provocation {
  begin(store: StandaloneStore, random: Random, run: StandaloneRun): Promise<unknown>;
  end(store: StandaloneStore): Promise<unknown>;
  /** True if replicas still receive published messages. */
  isReceived?: boolean;
  /** True if each write of each replica is rejected; default true. */
  isTotal?: boolean;
  /** True if the fault may last long. */
  mayBeLong?: boolean;
  holdMs?: number;
}

const config = ({ admin }: StandaloneStore, name: string, value: string) => admin.config("SET", name, value);

function provoked(run: StandaloneRun, random: Random, provocation: Provocation): Fault {
  const { begin, end, isReceived = false, isTotal = true, mayBeLong = false, holdMs } = provocation;
  const { store } = run.fleet;
  const replicas = replicaNames(run);
  const isLong = mayBeLong && random.chance(LONG_CHANCE);
  return {
    parties: replicas,
    isDeaf: !isReceived,
    refuses: { replicas, isTotal },
    ...(isLong ? { holdMs: LONG_MS } : holdMs !== undefined && { holdMs }),
    async inject() {
      await begin(store, random, run);
    },
    async cease() {
      await end(store);
    },
  };
}

// Only one such fault runs at a time. If Redis was restarted meanwhile, the cause has ended, and ending it again does nothing.
function refusal(
  name: string,
  provocation: Provocation | (() => Provocation),
  uses: "refusal" | "redis" = "refusal",
): FaultKind<StandaloneStore> {
  const provide = typeof provocation === "function" ? provocation : () => provocation;
  return { name, uses, create: (run, random) => provoked(run, random, provide()) };
}

const takeRights =
  (...rules: string[]): Provocation["begin"] =>
  async ({ admin }) => {
    for (const name of ["r0", "r1", "r2"]) await admin.call("ACL", "SETUSER", name, ...rules);
  };
const restoreRights: Provocation["end"] = (store) => store.restoreRights();

/** Makes Redis reject each write in such a way that the tests notice its end at once. */
const NO_REPLICAS: Provocation = {
  begin: (store) => config(store, "min-replicas-to-write", MANY_REPLICAS),
  end: (store) => config(store, "min-replicas-to-write", "0"),
  isReceived: true,
};

/** Breaks all subscriptions of replicas and waits until they are open again. Until then replicas may miss messages. */
async function breakSubscriptions(run: StandaloneRun): Promise<void> {
  const { fleet } = run;
  const { admin } = fleet.store;
  const from = performance.now();
  const names = replicaNames(run);
  const list = async () => String(await admin.call("CLIENT", "LIST", "TYPE", "pubsub")).split("\n");
  const idsOf = (lines: string[], name: string) =>
    lines.flatMap((line) => (line.includes(`user=${name} `) ? (/^id=(\d+)/.exec(line)?.[1] ?? []) : []));
  const broken = await list();
  await fleet.store.killClients("pubsub");
  const areOpenAgain = async () => {
    const lines = await list();
    return names.every((name) => idsOf(lines, name).some((id) => !idsOf(broken, name).includes(id)));
  };
  await waitFor(areOpenAgain, { timeoutMs: 30_000, message: "subscriptions that are open again" });
  fleet.noteTrouble("subscriptions are broken", names, from);
}

async function failToSave(store: StandaloneStore): Promise<void> {
  await config(store, "save", "3600 1000000");
  await config(store, "dir", UNWRITABLE_DIRECTORY);
  await store.admin.call("BGSAVE");
  const hasFailed = async () => (await store.admin.info("persistence")).includes("rdb_last_bgsave_status:err");
  await waitFor(hasFailed, { message: "saving to fail" });
}

function busyScript(): Provocation {
  let ended: Promise<unknown> = Promise.resolve();
  return {
    async begin(store) {
      await config(store, "busy-reply-threshold", BUSY_AFTER_MS);
      // Uses its own connection, because no other command is answered on it meanwhile.
      const options = { username: "witness", password: "any", retryStrategy: () => null, maxRetriesPerRequest: null };
      const connection = new Redis({ port: store.redis.port, ...options }).on("error", () => undefined);
      let hasEnded = false;
      ended = connection
        .eval("while true do end", 0)
        .catch(() => undefined)
        .finally(() => {
          hasEnded = true;
          connection.disconnect();
        });
      const isBusy = () =>
        store.admin.ping().then(
          () => false,
          ({ message }: Error) => message.startsWith("BUSY"),
        );
      await waitFor(async () => hasEnded || (await isBusy()), { timeoutMs: 60_000, message: "a busy script" });
    },
    async end({ admin }) {
      // If Redis was killed meanwhile, the script has ended too.
      await admin.script("KILL").catch(({ message }: Error) => {
        if (!message.startsWith("NOTBUSY")) throw new Error(message);
      });
      await ended;
    },
  };
}

function flushScripts(): Provocation {
  let timer: NodeJS.Timeout;
  return {
    async begin({ admin }) {
      timer = setInterval(() => void admin.script("FLUSH").catch(() => undefined), FLUSH_PACE_MS);
    },
    end: async () => clearInterval(timer),
    isReceived: true,
    isTotal: false,
  };
}

/** Rejections by a real Redis, for a short or a long time. */
export const PROVOKED_REFUSALS: readonly FaultKind<StandaloneStore>[] = [
  refusal("Redis has too few replicas to write (NOREPLICAS)", { ...NO_REPLICAS, mayBeLong: true }),
  refusal("Redis rejects writes while replicas open their subscriptions again", {
    begin: async (store, random, run) => {
      await NO_REPLICAS.begin(store, random, run);
      await breakSubscriptions(run);
    },
    end: NO_REPLICAS.end,
    isReceived: true,
    mayBeLong: true,
  }),
  refusal("Redis is full (OOM)", {
    begin: (store) => config(store, "maxmemory", "1"),
    end: (store) => config(store, "maxmemory", "0"),
    isReceived: true,
    mayBeLong: true,
  }),
  refusal("Redis cannot save (MISCONF)", {
    begin: failToSave,
    end: async (store) => {
      await config(store, "save", "");
      await config(store, "dir", store.directory);
    },
    isReceived: true,
    mayBeLong: true,
  }),
  refusal(
    "Redis is a replica of an unreachable server (READONLY)",
    {
      begin: ({ admin }) => admin.call("REPLICAOF", ...NO_MASTER),
      end: ({ admin }) => admin.call("REPLICAOF", "NO", "ONE"),
    },
    "redis",
  ),
  refusal(
    "Redis is a replica without data to serve (MASTERDOWN)",
    {
      begin: async (store) => {
        await config(store, "replica-serve-stale-data", "no");
        await store.admin.call("REPLICAOF", ...NO_MASTER);
      },
      end: async (store) => {
        await store.admin.call("REPLICAOF", "NO", "ONE");
        await config(store, "replica-serve-stale-data", "yes");
      },
    },
    "redis",
  ),
  refusal("Redis is busy with a script (BUSY)", busyScript),
  refusal("replicas lose the right to write (a denial within a script)", {
    begin: takeRights("-@write"),
    end: restoreRights,
    isReceived: true,
    mayBeLong: true,
  }),
  refusal("replicas lose the right to run scripts (NOPERM)", {
    begin: takeRights("-evalsha", "-eval"),
    end: restoreRights,
    isReceived: true,
  }),
  refusal("the users of replicas are switched off, and their connections broken (WRONGPASS)", {
    begin: async (store, random, run) => {
      await takeRights("off")(store, random, run);
      await store.killClients("normal");
      await store.killClients("pubsub");
    },
    end: restoreRights,
    mayBeLong: true,
  }),
  refusal("Redis takes no more clients, and breaks connections (max number of clients)", {
    begin: async (store) => {
      await config(store, "maxclients", "1");
      await store.killClients("normal");
      await store.killClients("pubsub");
    },
    end: (store) => config(store, "maxclients", "10000"),
    mayBeLong: true,
  }),
  refusal("Redis holds writes back (CLIENT PAUSE)", {
    begin: ({ admin }) => admin.call("CLIENT", "PAUSE", "60000", "WRITE"),
    end: ({ admin }) => admin.call("CLIENT", "UNPAUSE"),
    isReceived: true,
    holdMs: 3_000,
  }),
  refusal("Redis forgets all scripts again and again (NOSCRIPT)", flushScripts),
  refusal("Redis closes connections that are idle for a second (timeout)", {
    begin: (store) => config(store, "timeout", "1"),
    end: (store) => config(store, "timeout", "0"),
    isTotal: false,
    holdMs: 4_000,
  }),
];

/** Rejects all writes of all replicas for so long that each replica must report it. */
export const LONG_PROVOCATION: FaultKind<StandaloneStore> = refusal("Redis refuses all writes for long", {
  ...NO_REPLICAS,
  holdMs: LONG_MS,
});
