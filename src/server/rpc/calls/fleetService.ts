import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ReplicaStatusSchema, RouterLagSchema } from "../../../../gen/squelch/v1/fleet_service_pb.js";
import { refusal } from "../../../domain/errors.js";
import { type KnownReplica, type RouterLag, summariseRouters } from "../../../domain/fleet.js";
import type { Engine } from "../../../domain/ports/engine.js";
import { batchesOf } from "../../../lib/batchesOf.js";
import type { AnswerOf } from "../../contract.js";
import type { Hub } from "../../feed/hub.js";
import type { CatchUp } from "../../state/catchUp.js";
import type { Handlers } from "../call.js";

type FleetStatus = AnswerOf<"getFleetStatus">;

/** The status that was read, and the difference between the store's clock and the clock of this process. */
interface Reading {
  status: FleetStatus;
  /** ms since 1970 by the store's clock, minus `performance.now()`. */
  clockOffsetMs: number;
}

/** A reading is reused for calls within this time, ms. */
const MIN_REUSE_MS = 1_000;
/** A reading is also reused for this many times as long as it took, so that readings use a small part of the store's time. */
const REUSE_FACTOR = 5;
/** How many events are read at the same time. */
const READ_CONCURRENCY = 100;

/**
 * The calls of FleetService, except those about applied changes.
 *
 * @param catchUp undefined if no control plane publishes to this replica
 */
export function createFleetService(
  hub: Hub,
  catchUp: CatchUp | undefined,
): Pick<Handlers, "getFleetStatus" | "reconcileMemberships"> {
  let current: Promise<Reading> | undefined;
  return {
    async getFleetStatus() {
      current ??= readUntilOld();
      const { status, clockOffsetMs } = await current;
      return { ...status, now: timestampFromMs(Math.round(performance.now() + clockOffsetMs)) };
    },

    async reconcileMemberships(_request, { signal }) {
      if (catchUp === undefined) {
        throw refusal(
          "NO_CONTROL_PLANE",
          "this replica receives no updates of a control plane, so there is nothing to compare: it keeps memberships in " +
            "its own memory, or in a Cluster without --ingest-redis-url",
          {},
        );
      }
      const { generation, compared, changed, ambiguous } = await catchUp.reconcile(signal);
      return {
        generation: BigInt(generation),
        comparedUsers: compared,
        changedUsers: changed,
        ambiguousUsers: ambiguous,
      };
    },
  };

  function readUntilOld(): Promise<Reading> {
    const startedMs = performance.now();
    const reading = readFleetStatus(hub);
    const forget = () => {
      current = undefined;
    };
    reading.then(() => {
      setTimeout(forget, Math.max(MIN_REUSE_MS, (performance.now() - startedMs) * REUSE_FACTOR)).unref();
    }, forget);
    return reading;
  }
}

async function readFleetStatus({ engine, replicaId, ownReport }: Hub): Promise<Reading> {
  const eventIds = await engine.listEvents();
  const events: Parameters<typeof summariseRouters>[0][number][] = [];
  for (const batch of batchesOf(eventIds, READ_CONCURRENCY)) {
    events.push(
      ...(await Promise.all(batch.map(async (eventId) => ({ eventId, read: await engine.readRouters(eventId) })))),
    );
  }
  const { nowMs, replicas: stored } = await engine.readReplicas();
  // While the store refuses writes, it does not have the newest report of this replica.
  const own = ownReport();
  const others = own === undefined ? stored : stored.filter((replica) => replica.replicaId !== own.replicaId);
  const replicas = own === undefined ? others : [...others, { ...own, seenMs: nowMs }];
  const clockOffsetMs = nowMs - performance.now();
  const ages = new LagAges(engine, nowMs);
  const status: FleetStatus = {
    time: timestampFromMs(nowMs),
    replicas: replicas
      .sort((a, b) => (a.replicaId < b.replicaId ? -1 : 1))
      .map((replica) => ({ ...toReplicaMessage(replica), answering: replica.replicaId === replicaId })),
    routers: await Promise.all(
      summariseRouters(events, replicas).map(async ({ seenMs, behind, ...router }) => ({
        ...router,
        lastSeen: timestampFromMs(seenMs),
        behind: await Promise.all(behind.map(async (lag) => toLagMessage(lag, await ages.of(lag)))),
      })),
    ),
  };
  return { status, clockOffsetMs };
}

function toReplicaMessage(replica: KnownReplica): MessageInitShape<typeof ReplicaStatusSchema> {
  const { seenMs, uptimeMs, feedAgeMs, feedProblem = "", routerIds: _, ...status } = replica;
  return {
    ...status,
    feedProblem,
    startedAt: timestampFromMs(seenMs - uptimeMs),
    lastSeen: timestampFromMs(seenMs),
    ...(feedAgeMs !== undefined && { feedAge: durationFromMs(feedAgeMs) }),
  };
}

function toLagMessage(
  { eventId, position, head }: RouterLag,
  ageMs: number | undefined,
): MessageInitShape<typeof RouterLagSchema> {
  return {
    eventId,
    ...(position && { revisions: BigInt(head.revision - position.revision) }),
    ...(ageMs !== undefined && { age: durationFromMs(ageMs) }),
  };
}

/** Finds how long ago the change after a position was accepted. Routers at the same position share one read of the log. */
class LagAges {
  readonly #engine: Engine;
  readonly #nowMs: number;
  readonly #known = new Map<string, Promise<number | undefined>>();

  constructor(engine: Engine, nowMs: number) {
    this.#engine = engine;
    this.#nowMs = nowMs;
  }

  of({ eventId, position, head }: RouterLag): Promise<number | undefined> {
    const after = position ?? { epoch: head.epoch, revision: 0 };
    const key = `${after.revision} ${eventId}`;
    const age = this.#known.get(key) ?? this.#read(eventId, after);
    this.#known.set(key, age);
    return age;
  }

  async #read(eventId: string, after: { epoch: string; revision: number }): Promise<number | undefined> {
    const [oldest] = (await this.#engine.readLog(eventId, after, 1)) ?? [];
    return oldest && Math.max(this.#nowMs - oldest.timeMs, 0);
  }
}
