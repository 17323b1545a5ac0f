import type { RespCommand } from "../../../support/resp/respProxy.js";
import type { Random } from "../../random.js";
import type { Run } from "../../run.js";
import type { StandaloneStore } from "../../stores/standaloneStore.js";
import { type Fault, type FaultKind, replicaNames } from "../fault.js";
import { drawForm, ERROR_TEXTS, type ErrorName, errorReplyTo } from "./errorReplies.js";

/** So long that replicas must notice, ms. */
const LONG_MS = 12_000;
const LONG_CHANCE = 0.15;

/** Commands of replicas that write. Redis counts every script as a write before it runs the script. */
const WRITES = new Set([
  ...["eval", "evalsha", "set", "del", "unlink", "expire", "incr", "hset", "hsetnx", "hdel", "sadd", "srem"],
  ...["zadd", "zrem", "xadd", "xtrim"],
]);

/** After these errors a replica may leave the server, so it may miss messages that are published meanwhile. */
const LEAVING: ReadonlySet<ErrorName> = new Set([
  ...(["LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "ASK"] as const),
  ...(["NOPERM", "NOAUTH", "WRONGPASS", "max number of clients"] as const),
]);

/** The commands that a proxy rejects. */
interface ProxiedRefusal {
  error: ErrorName;
  when: "before" | "after";
  replicas: readonly string[];
  /** Default: only writes. */
  isOfEverything?: boolean;
  /** Only commands of the connections with this name. */
  connection?: string;
  /** The share of commands that are rejected; default 1. */
  share?: number;
  /** Which of two Redis servers rejects. Default: both. */
  server?: "state" | "ingest";
  holdMs?: number;
}

/** Answers commands of replicas instead of Redis. Errors within a script have each of their known forms. */
function proxiedRefusal({ fleet }: Run<StandaloneStore>, random: Random, refusal: ProxiedRefusal): Fault {
  const { error, when, replicas, isOfEverything = false, connection, share = 1, server } = refusal;
  const ends: (() => void)[] = [];
  const answer = (command: RespCommand) => {
    if (!isOfEverything && !WRITES.has(command.name)) return undefined;
    if (connection !== undefined && command.connection !== connection) return undefined;
    if (share < 1 && !random.chance(share)) return undefined;
    return errorReplyTo(command, error, drawForm(random));
  };
  const isTotal = share === 1 && when === "before" && (connection === undefined || connection === "squelch-commands");
  return {
    parties: replicas,
    isDeaf: isOfEverything || LEAVING.has(error),
    refuses: { replicas, isTotal },
    ...(refusal.holdMs !== undefined && { holdMs: refusal.holdMs }),
    inject() {
      for (const name of replicas) {
        const [state, ingest = state] = fleet.store.refusers(name);
        const chosen = server === undefined ? [state, ingest] : [server === "state" ? state : ingest];
        for (const proxy of new Set(chosen)) if (proxy !== undefined) ends.push(proxy.refuse({ when, answer }));
      }
    },
    cease() {
      for (const end of ends.splice(0)) end();
    },
  };
}

function drawn(run: Run<StandaloneStore>, random: Random, error: ErrorName): Fault {
  const all = replicaNames(run);
  const connections = ["squelch-commands", "squelch-confirmed", "squelch-urgent"];
  return proxiedRefusal(run, random, {
    error,
    when: random.chance(0.3) ? "after" : "before",
    replicas: random.chance(0.5) ? all : [random.pick(all)],
    isOfEverything: random.chance(0.2),
    ...(random.chance(0.3) && { connection: random.pick(connections) }),
    share: random.chance(0.3) ? 0.5 : 1,
    ...(random.chance(0.6) && { server: random.chance(0.7) ? "state" : "ingest" }),
    ...(random.chance(LONG_CHANCE) && { holdMs: LONG_MS }),
  });
}

/** Rejects random commands of random replicas with random errors. */
export const PROXIED_REFUSALS: readonly FaultKind<StandaloneStore>[] = [
  {
    name: "commands are rejected with an error instead of reaching Redis",
    uses: "refusal",
    create: (run, random) => drawn(run, random, random.pick(Object.keys(ERROR_TEXTS) as ErrorName[])),
  },
];

/** Rejects all writes of all replicas to the state with one error after another. */
export const PROXIED_ERRORS: readonly FaultKind<StandaloneStore>[] = Object.keys(ERROR_TEXTS).map((name) => ({
  name,
  uses: "refusal",
  create: (run, random) =>
    proxiedRefusal(run, random, {
      error: name as ErrorName,
      when: "before",
      replicas: replicaNames(run),
      server: "state",
    }),
}));

/** Rejections for one replica only, which this replica must notice. */
export const LONG_REFUSALS: readonly FaultKind<StandaloneStore>[] = (["state", "ingest"] as const).map((server) => ({
  name: `the ${server}'s Redis refuses the writes of one replica for long`,
  uses: "refusal",
  create: (run, random) =>
    proxiedRefusal(run, random, {
      error: "OOM",
      when: "before",
      replicas: [random.pick(replicaNames(run))],
      server,
      holdMs: LONG_MS,
    }),
}));
