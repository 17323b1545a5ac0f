import { setTimeout as sleep } from "node:timers/promises";
import { check, describeViolations } from "./checker.js";
import type { Fault } from "./faults/fault.js";
import { CpuWaits } from "./fleet/cpuWaits.js";
import { Fleet, type FleetOptions } from "./fleet/fleet.js";
import { ReadinessWatch } from "./fleet/readinessWatch.js";
import { differencesOf } from "./laws/convergence.js";
import type { Violation } from "./laws/violation.js";
import { Workload } from "./load/workload.js";
import { World } from "./load/world.js";
import { createRandom, type Random } from "./random.js";
import { allDeaf, Order } from "./record/expectation.js";
import type { History, Outage, Refusal, Rest, RouterRecord } from "./record/history.js";
import type { Store } from "./stores/store.js";

/** How long a fault is held by default, ms. */
const HOLD_MS = 1_500;
/** The longest time to settle. It is enough for a reconcile, which comes after 4 to 6 s, on a very busy machine. */
const SETTLE_MS = 60_000;
const POLL_MS = 50;
/** The number of lines of each replica's log in the description of a failure. */
const LINES_TOLD = 20;
/** The number of messages in the description of a failure for each router that did not recover. */
const RECORDS_TOLD = 40;

export interface RunOptions extends Partial<FleetOptions> {
  seed: number;
  /** Default 12. */
  events?: number;
  /** The longest time to settle before the laws are checked, ms. Default 60,000. */
  settleMs?: number;
}

/** One fleet under load with its faults, and the record of everything observed. */
export class Run<S extends Store = Store> {
  readonly history: History;
  readonly workload: Workload;
  /** How often each fault was injected. */
  readonly injected = new Map<string, number>();
  readonly #reported = new Set<string>();
  readonly #settleMs: number;
  readonly #cpuWaits: CpuWaits;
  readonly #readiness: ReadinessWatch;
  #restedAt = 0;

  private constructor(
    readonly fleet: Fleet<S>,
    readonly world: World,
    readonly random: Random,
    settleMs: number,
  ) {
    this.#settleMs = settleMs;
    this.#cpuWaits = new CpuWaits(() => fleet.replicas.flatMap(({ pid }) => pid ?? []));
    this.#readiness = new ReadinessWatch(fleet.replicas);
    this.workload = new Workload(world, random.fork("workload"));
    this.history = {
      replicas: fleet.replicas.map(({ name }) => name),
      writes: this.workload.writes,
      witnessed: fleet.witness.records,
      routers: new Map(fleet.routers.map(({ name, records }) => [name, records])),
      troubles: fleet.troubles,
      strandings: fleet.strandings,
      outages: [],
      refusals: [],
      readiness: this.#readiness.records,
      rests: [],
      cpuWaits: this.#cpuWaits.records,
    };
  }

  /** Takes over a store, starts a fleet on it, and brings the fleet to rest for the first time. */
  static async start<S extends Store>(store: S, options: RunOptions): Promise<Run<S>> {
    const { seed, events = 12, settleMs = SETTLE_MS, ...fleetOptions } = options;
    const random = createRandom(seed);
    const world = new World(events, random.fork("world"), store.isOrdered);
    const fleet = await Fleet.start(store, { ...fleetOptions, eventIds: world.eventIds });
    const run = new Run(fleet, world, random, settleMs);
    try {
      await run.workload.open(fleet);
      await run.workload.prepare();
      await run.rest();
      return run;
    } catch (error) {
      await run.stop();
      throw error;
    }
  }

  /** Subjects the fleet to a fault for some time. Resolves when all affected parties have recovered. */
  async suffer(name: string, fault: Fault, holdMs = Math.max(HOLD_MS, fault.holdMs ?? 0)): Promise<void> {
    this.injected.set(name, (this.injected.get(name) ?? 0) + 1);
    const trouble = this.fleet.beginTrouble(name, fault.parties, fault.isDeaf);
    await fault.inject();
    const refusal = fault.refuses && this.#beginRefusal(name, fault.refuses);
    await sleep(holdMs);
    if (refusal !== undefined) refusal.heldUntil = performance.now();
    await fault.cease();
    if (refusal !== undefined) {
      refusal.ceasedAt = performance.now();
      refusal.to = Math.min(refusal.to, refusal.ceasedAt);
    }
    await trouble.recovered();
  }

  /** Records that Redis is away. Returns a function that records its return. */
  beginOutage(noticeMs: number): () => void {
    const from = performance.now();
    const outage: Outage = { from, to: Number.POSITIVE_INFINITY, noticedBy: from + noticeMs };
    this.history.outages.push(outage);
    return () => {
      outage.to = performance.now();
    };
  }

  /** Lets the control planes finish and the fleet settle. Then records the state of every party. */
  async rest(): Promise<Rest> {
    await this.workload.pause();
    const hasFailedOver = await this.fleet.store.noteFailovers();
    await this.fleet.allStanding();
    const stoodAt = performance.now();
    this.fleet.noteTrouble("a silent subscription", this.#takeSilent(), this.#restedAt);
    if (hasFailedOver) this.fleet.noteTrouble("a needless fail-over", this.history.replicas, this.#restedAt);
    if (this.#restedAt === 0 || allDeaf(this.history, this.#restedAt, stoodAt)) await this.#reconciled();
    await this.#settled();
    const { records } = this.fleet.witness;
    const lastChangeAt = records.findLast(({ kind }) => kind === "entry")?.at ?? 0;
    const rest: Rest = {
      at: 0,
      standingAt: Math.max(stoodAt, lastChangeAt),
      witnessed: records.length,
      store: await this.#readStore(),
      keys: await this.#readKeys(),
      mirrors: new Map(),
    };
    const hasAllConverged = () => this.fleet.routers.every(({ picture }) => differencesOf(rest, picture).length === 0);
    await this.#patiently(hasAllConverged);
    rest.at = performance.now();
    rest.mirrors = this.#readMirrors(rest);
    this.history.rests.push(rest);
    await this.fleet.store.noteRest(rest.witnessed);
    this.#restedAt = rest.at;
    return rest;
  }

  /** Returns every broken guarantee that was not returned before. */
  newViolations(): Violation[] {
    const fresh = check(this.history).filter(({ at, text }) => !this.#reported.has(`${at} ${text}`));
    for (const { at, text } of fresh) this.#reported.add(`${at} ${text}`);
    return fresh;
  }

  /** Describes the failure and what every party did meanwhile. */
  describe(violations: readonly Violation[]): string {
    const { troubles, strandings } = this.history;
    const since = this.history.rests.at(-2)?.at ?? 0;
    return [
      describeViolations(violations),
      ...this.history.refusals
        .filter(({ to }) => to >= since)
        .map(({ fault, from, to, replicas }) => `${replicas} refused from ${round(from)} to ${round(to)} ms: ${fault}`),
      ...troubles
        .filter(({ to }) => to >= since)
        .map(({ party, fault, from, to }) => `${party} from ${Math.round(from)} to ${Math.round(to)} ms: ${fault}`),
      ...this.fleet.routers.flatMap(({ name, records }) =>
        strandings.some(({ party }) => party === name) ? records.slice(-RECORDS_TOLD).map(describeRecord(name)) : [],
      ),
      ...this.fleet.replicas.flatMap(({ name, lines }) =>
        lines.slice(-LINES_TOLD).map((line) => `${name}: ${shorten(line)}`),
      ),
    ].join("\n");
  }

  /** Ends everything. */
  async stop(): Promise<void> {
    this.#cpuWaits.close();
    this.#readiness.close();
    this.workload.close();
    await this.fleet.stop();
  }

  // If all writes of a replica are refused for long, no ticket comes back. Its subscription works, and closing it would
  // miss updates.
  #takeSilent(): string[] {
    const recent = this.history.refusals.filter(({ isTotal, to }) => isTotal && to > this.#restedAt);
    const refused = new Set(recent.flatMap(({ replicas }) => replicas));
    return this.fleet.takeSilent().filter((name) => !refused.has(name));
  }

  #beginRefusal(fault: string, refuses: NonNullable<Fault["refuses"]>): Refusal {
    const from = performance.now();
    const { replicas, isTotal, isOverForNewConnections = false } = refuses;
    const never = Number.POSITIVE_INFINITY;
    const to = isOverForNewConnections ? from : never;
    const refusal: Refusal = { fault, from, heldUntil: never, ceasedAt: never, to, replicas, isTotal };
    this.history.refusals.push(refusal);
    return refusal;
  }

  // Updates that no replica received are repaired once the watermark has passed everything that was published.
  async #reconciled(): Promise<void> {
    const { redis } = this.fleet.witness;
    const newest = Number(await redis.get("squelch:ingest:generation"));
    await this.#patiently(async () => Number(await redis.hget("squelch:ingest:applied", "generation")) >= newest);
  }

  // Received updates are applied a moment later. If they are not, the checker reports it.
  async #settled(): Promise<void> {
    const order = new Order(this.history, this.fleet.witness.records.length);
    const keys = await this.#readKeys();
    await this.#patiently(async () => {
      for (const [eventId, { members }] of await this.#readStore()) {
        for (const userId of this.#usersOf(eventId)) {
          if (!order.allows(eventId, userId, keys, members.get(userId)?.channels)) return false;
        }
      }
      return true;
    });
  }

  async #patiently(isDone: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = performance.now() + this.#settleMs;
    while (!(await isDone()) && performance.now() < deadline) await sleep(POLL_MS);
  }

  #usersOf(eventId: string): string[] {
    return [...this.world.usersOf(eventId), ...this.world.roamers];
  }

  async #readStore(): Promise<Rest["store"]> {
    const { eventIds } = this.world;
    const events = await Promise.all(eventIds.map((eventId) => this.fleet.witness.readEvent(eventId)));
    return new Map(eventIds.flatMap((eventId, index) => (events[index] ? [[eventId, events[index]]] : [])));
  }

  #readKeys(): Promise<Rest["keys"]> {
    const users = this.world.eventIds.flatMap((eventId) => this.world.usersOf(eventId));
    return this.fleet.witness.readKeys([...users, ...this.world.roamers]);
  }

  #readMirrors({ store }: Rest): Rest["mirrors"] {
    return new Map(
      this.fleet.routers.map(({ name, client }) => {
        const events = [...store].map(([eventId, { members }]) => {
          const users = [...members.keys()].map((userId) => {
            return [userId, client.permissionsOf(eventId, userId)?.join()] as const;
          });
          return [eventId, new Map(users)] as const;
        });
        return [name, new Map(events)] as const;
      }),
    );
  }
}

const round = (ms: number) => Math.round(ms);

const describeRecord = (router: string) => (record: RouterRecord) => {
  const what =
    record.kind === "ended" ? record.code : record.kind === "checkpoint" ? `healthy ${record.isHealthy}` : "";
  return `${router}: ${Math.round(record.at)} ms: ${record.kind} ${what}`;
};

// A line of a replica's log without the fields that all lines share.
function shorten(line: string): string {
  if (!line.startsWith("{")) return line;
  const { time, msg, err, level: _, pid: __, hostname: ___, name: ____, ...rest } = JSON.parse(line);
  const at = Math.round(time - performance.timeOrigin);
  return `${at} ms: ${msg} ${JSON.stringify({ ...rest, ...(err && { error: err.message }) })}`;
}
