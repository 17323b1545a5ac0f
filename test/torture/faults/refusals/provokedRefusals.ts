import { Redis } from "ioredis";
import { waitFor } from "../../../support/waitFor.js";
import type { Random } from "../../random.js";
import type { Run } from "../../run.js";
import type { StandaloneStore } from "../../stores/standaloneStore.js";
import { type Fault, type FaultKind, replicaNames } from "../fault.js";

type StandaloneRun = Run<StandaloneStore>;

/** More than any Redis here has. */
const MANY_REPLICAS = "9";
/** Its files cannot be written, whatever the rights of the user. */
const UNWRITABLE_DIRECTORY = "/proc";
/** Nothing listens there. */
const NO_MASTER = ["127.0.0.1", "1"];
/** After how long Redis says that it is busy with a script, ms. */
const BUSY_AFTER_MS = "50";
/** How often the scripts are forgotten, ms. */
const FLUSH_PACE_MS = 100;
/** Longer than replicas may take not to be ready, ms. */
const LONG_MS = 10_000;
const LONG_CHANCE = 0.15;
/** A client that cannot connect waits longer each time. */
const CONNECT_AGAIN_MS = 12_000;

interface Provocation {
  begin(store: StandaloneStore, random: Random): Promise<unknown>;
  end(store: StandaloneStore): Promise<unknown>;
  /** True if replicas are told what is published all the same. */
  isHeard?: boolean;
  /** Whether each write of each replica is refused; default true. */
  isTotal?: boolean;
  readyAgainMs?: number;
  /** It may last for long. */
  mayBeLong?: boolean;
  holdMs?: number;
}

const config = ({ admin }: StandaloneStore, name: string, value: string) => admin.config("SET", name, value);

function provoked(run: StandaloneRun, random: Random, provocation: Provocation): Fault {
  const { begin, end, isHeard = false, isTotal = true, readyAgainMs, mayBeLong = false, holdMs } = provocation;
  const { store } = run.fleet;
  const replicas = replicaNames(run);
  const isLong = mayBeLong && random.chance(LONG_CHANCE);
  return {
    parties: replicas,
    isDeaf: !isHeard,
    refuses: { replicas, isTotal, ...(readyAgainMs !== undefined && { readyAgainMs }) },
    ...(isLong ? { holdMs: LONG_MS } : holdMs !== undefined && { holdMs }),
    async inject() {
      await begin(store, random);
    },
    async cease() {
      await end(store);
    },
  };
}

// One at a time: a Redis that is restarted meanwhile has forgotten it, and what ends it then does nothing.
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

/** Says no to each write; others see that it is over at once. */
const NO_REPLICAS: Provocation = {
  begin: (store) => config(store, "min-replicas-to-write", MANY_REPLICAS),
  end: (store) => config(store, "min-replicas-to-write", "0"),
  isHeard: true,
};

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
      // On a connection of its own: no other command is answered on it meanwhile.
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
      // A Redis that was killed meanwhile has ended it, too.
      await admin.script("KILL").catch(({ message }: Error) => {
        if (!message.startsWith("NOTBUSY")) throw new Error(message);
      });
      await ended;
    },
    // Nothing is published meanwhile, but connections may be given up.
    readyAgainMs: CONNECT_AGAIN_MS,
  };
}

function flushScripts(): Provocation {
  let timer: NodeJS.Timeout;
  return {
    async begin({ admin }) {
      timer = setInterval(() => void admin.script("FLUSH").catch(() => undefined), FLUSH_PACE_MS);
    },
    end: async () => clearInterval(timer),
    isHeard: true,
    isTotal: false,
  };
}

/** What a real Redis refuses, for a moment or for long. */
export const PROVOKED_REFUSALS: readonly FaultKind<StandaloneStore>[] = [
  refusal("Redis has too few replicas to write (NOREPLICAS)", { ...NO_REPLICAS, mayBeLong: true }),
  refusal("Redis is full (OOM)", {
    begin: (store) => config(store, "maxmemory", "1"),
    end: (store) => config(store, "maxmemory", "0"),
    isHeard: true,
    mayBeLong: true,
  }),
  refusal("Redis cannot save (MISCONF)", {
    begin: failToSave,
    end: async (store) => {
      await config(store, "save", "");
      await config(store, "dir", store.directory);
    },
    isHeard: true,
    mayBeLong: true,
  }),
  refusal(
    "Redis is a replica of a server that is away (READONLY)",
    {
      begin: ({ admin }) => admin.call("REPLICAOF", ...NO_MASTER),
      end: ({ admin }) => admin.call("REPLICAOF", "NO", "ONE"),
    },
    "redis",
  ),
  refusal(
    "Redis is a replica that serves nothing (MASTERDOWN)",
    {
      begin: async (store) => {
        await config(store, "replica-serve-stale-data", "no");
        await store.admin.call("REPLICAOF", ...NO_MASTER);
      },
      end: async (store) => {
        await store.admin.call("REPLICAOF", "NO", "ONE");
        await config(store, "replica-serve-stale-data", "yes");
      },
      readyAgainMs: CONNECT_AGAIN_MS,
    },
    "redis",
  ),
  refusal("Redis is busy with a script (BUSY)", busyScript),
  refusal("replicas lose the right to write (a denial within a script)", {
    begin: takeRights("-@write"),
    end: restoreRights,
    isHeard: true,
    mayBeLong: true,
  }),
  refusal("replicas lose the right to run scripts (NOPERM)", {
    begin: takeRights("-evalsha", "-eval"),
    end: restoreRights,
    isHeard: true,
  }),
  refusal("the users of replicas are switched off, and their connections broken (WRONGPASS)", {
    begin: async (store, random) => {
      await takeRights("off")(store, random);
      await store.killClients("normal");
      await store.killClients("pubsub");
    },
    end: restoreRights,
    readyAgainMs: CONNECT_AGAIN_MS,
  }),
  refusal("Redis takes no more clients, and breaks connections (max number of clients)", {
    begin: async (store) => {
      await config(store, "maxclients", "1");
      await store.killClients("normal");
      await store.killClients("pubsub");
    },
    end: (store) => config(store, "maxclients", "10000"),
    readyAgainMs: CONNECT_AGAIN_MS,
  }),
  refusal("Redis holds writes back (CLIENT PAUSE)", {
    begin: ({ admin }) => admin.call("CLIENT", "PAUSE", "60000", "WRITE"),
    end: ({ admin }) => admin.call("CLIENT", "UNPAUSE"),
    isHeard: true,
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

/** All writes of all replicas are refused for so long that each has to say so. */
export const LONG_PROVOCATION: FaultKind<StandaloneStore> = refusal("Redis refuses all writes for long", {
  ...NO_REPLICAS,
  holdMs: LONG_MS,
});
