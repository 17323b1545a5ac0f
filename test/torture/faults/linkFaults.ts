import type { TcpProxy, Trouble } from "../../support/tcpProxy.js";
import type { Random } from "../random.js";
import type { Run } from "../run.js";
import type { StandaloneStore } from "../stores/standaloneStore.js";
import { type Fault, type FaultKind, replicaNames, routerNames } from "./fault.js";

/** The two ends of a connection; `redis` can be one of them. */
type Link = readonly [from: string, to: string];
type StandaloneRun = Run<StandaloneStore>;
type Direction = "toServer" | "toClient";

function proxyOf({ fleet }: StandaloneRun, [from, to]: Link): TcpProxy {
  return to === "redis" ? fleet.store.link(from) : fleet.link(from, to);
}

function refused(run: StandaloneRun, links: readonly Link[], parties: readonly string[]): Fault {
  return {
    parties,
    inject() {
      for (const [from, to] of links) proxyOf(run, [from, to]).refuse();
    },
    cease() {
      for (const [from, to] of links) proxyOf(run, [from, to]).heal();
    },
  };
}

function troubled(
  run: StandaloneRun,
  [from, to]: Link,
  directions: readonly Direction[],
  trouble: Trouble,
  party = from,
): Fault {
  return {
    parties: [party],
    inject() {
      for (const direction of directions) proxyOf(run, [from, to]).trouble(direction, trouble);
    },
    cease: () => proxyOf(run, [from, to]).heal(),
  };
}

/** The longest time until a replica notices a dead subscription, ms (pitfall 28). */
const SUBSCRIPTION_NOTICED_MS = 10_500;

const redisLink = (run: StandaloneRun, random: Random): Link => [random.pick(replicaNames(run)), "redis"];
const routerLink = (run: StandaloneRun, random: Random): Link => [
  random.pick(routerNames(run)),
  random.pick(replicaNames(run)),
];
const allLinksOf = (run: StandaloneRun, router: string): Link[] =>
  replicaNames(run).map((replica) => [router, replica]);

function linkFault(name: string, create: FaultKind<StandaloneStore>["create"]): FaultKind<StandaloneStore> {
  return { name, uses: "link", create };
}

const BOTH: readonly Direction[] = ["toServer", "toClient"];

/** Faults of the connections between two parties. */
export const LINK_FAULTS: readonly FaultKind<StandaloneStore>[] = [
  linkFault("a replica is cut off from Redis", (run, random) => {
    const link = redisLink(run, random);
    return refused(run, [link], [link[0]]);
  }),
  linkFault("all replicas are cut off from Redis", (run) => {
    const links = replicaNames(run).map((name): Link => [name, "redis"]);
    return refused(run, links, replicaNames(run));
  }),
  linkFault("the connection between a replica and Redis is slow", (run, random) =>
    troubled(run, redisLink(run, random), BOTH, { kind: "delayed", byMs: random.integer(50, 300) }),
  ),
  linkFault("data from a replica to Redis is dropped", (run, random) =>
    troubled(run, redisLink(run, random), ["toServer"], { kind: "swallowed" }),
  ),
  linkFault("data from Redis to a replica is dropped", (run, random) => ({
    ...troubled(run, redisLink(run, random), ["toClient"], { kind: "swallowed" }),
    holdMs: SUBSCRIPTION_NOTICED_MS,
  })),
  linkFault("data from Redis to a replica is delayed", (run, random) =>
    troubled(run, redisLink(run, random), ["toClient"], { kind: "held" }),
  ),
  linkFault("a router is cut off from all replicas", (run, random) => {
    const router = random.pick(routerNames(run));
    return refused(run, allLinksOf(run, router), [router]);
  }),
  linkFault("all routers are cut off from a replica", (run, random) => {
    const replica = random.pick(replicaNames(run));
    const links = routerNames(run).map((router): Link => [router, replica]);
    return refused(run, links, routerNames(run));
  }),
  linkFault("the connection between a router and a replica is slow", (run, random) =>
    troubled(run, routerLink(run, random), BOTH, { kind: "delayed", byMs: random.integer(50, 500) }),
  ),
  linkFault("data from a router is dropped", (run, random) => ofBusyLink(run, random, ["toServer"])),
  linkFault("data to a router is dropped", (run, random) => ofBusyLink(run, random, ["toClient"])),
  linkFault("a router reads slowly", (run, random) => {
    const link = routerLink(run, random);
    return troubled(run, link, ["toClient"], { kind: "throttled", bytesPerSecond: 4_000 });
  }),
  linkFault("a router reads nothing for a while", (run, random) => {
    const router = random.pick(run.fleet.routers);
    return {
      parties: [router.name],
      inject: () => router.setReading(false),
      cease: () => router.setReading(true),
    };
  }),
];

// The router itself chooses the replica that serves it.
function ofBusyLink(run: StandaloneRun, random: Random, directions: readonly Direction[]): Fault {
  const router = random.pick(routerNames(run));
  const faults = allLinksOf(run, router).map((link) => troubled(run, link, directions, { kind: "swallowed" }));
  return {
    parties: [router],
    // A stream counts as dead after three checkpoint intervals.
    holdMs: 3_500,
    inject() {
      for (const fault of faults) void fault.inject();
    },
    cease() {
      for (const fault of faults) void fault.cease();
    },
  };
}
