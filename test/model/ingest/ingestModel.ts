import type { Flaw } from "./flaws.js";
import { RedisModel } from "./redisModel.js";
import { type Fate, ReplicaModel } from "./replicaModel.js";

/** One step of a schedule. A step that is impossible at the moment does nothing. */
export type Step = FleetStep | ReplicaStep;

type FleetStep =
  /** The control plane recomputes a user: DEL, SADD, PUBLISH, all at once or with pauses. */
  | { do: "assign"; event: string; user: string; channels: string[] }
  /** With `besides` it may begin while another one for this user runs, which spoils the key. */
  | { do: "beginAssign"; event: string; user: string; channels: string[]; besides?: boolean }
  | { do: "continueAssign"; user: string }
  | { do: "publishMalformed" }
  | { do: "set"; event: string; user: string; channels: string[]; apart: boolean }
  | { do: "seed"; event: string; user: string; channels: string[] }
  | { do: "sync"; event: string; users: Record<string, string[]>; apart: boolean }
  | { do: "purge"; event: string }
  | { do: "arrive" }
  | { do: "connect"; replica: number }
  | { do: "cutAll"; undelivered: number }
  | { do: "passTime"; ms: number }
  | { do: "save" }
  | { do: "restartRedis"; data: "kept" | "saved" | "gone" }
  | { do: "loseState" };

/** The steps of a running replica. */
type ReplicaStep =
  | { do: "receive"; replica: number; messages: number }
  | { do: "apply"; replica: number; event: string; size: number; fate: Fate }
  | { do: "tick"; replica: number }
  /** All its work at once, as a healthy replica does it. */
  | { do: "keepUp"; replica: number }
  | { do: "reconcile"; replica: number; steps: number }
  | { do: "cut"; replica: number; undelivered: number }
  | { do: "crash"; replica: number }
  | { do: "overflow"; replica: number; event: string }
  | { do: "beginEpoch"; replica: number };

export const REPLICAS = [0, 1, 2] as const;
const MAX_ROUNDS = 20;

/** The progress of the control plane with one user's key. */
interface Assignment {
  event: string;
  user: string;
  channels: string[];
  isAdded: boolean;
}

/** A model of Redis, the control plane and three replicas, in which one step happens after the other. */
export class IngestModel {
  readonly redis: RedisModel;
  readonly replicas: readonly ReplicaModel[];
  /** Every list of channels that the control plane ever published for a user: `event/user` → channels, joined. */
  readonly assigned = new Map<string, Set<string>>();
  #assignments: Assignment[] = [];

  /** @param flaw the mistake to make */
  constructor(flaw?: Flaw) {
    this.redis = new RedisModel(new Set(flaw === undefined ? [] : [flaw]));
    this.replicas = REPLICAS.map((index) => {
      const countsMalformed = index !== 0 || flaw !== "malformed not counted";
      return new ReplicaModel(this.redis, countsMalformed, (userId) => !this.#busyUsers.includes(userId));
    });
  }

  run(step: Step): void {
    const { redis } = this;
    switch (step.do) {
      case "assign":
        if (this.#busyUsers.includes(step.user)) break;
        this.#beginAssign(step);
        this.#continueAssign(step.user);
        this.#continueAssign(step.user);
        break;
      case "beginAssign":
        if (step.besides || !this.#busyUsers.includes(step.user)) this.#beginAssign(step);
        break;
      case "continueAssign":
        this.#continueAssign(step.user);
        break;
      case "publishMalformed":
        redis.stream.push({ kind: "malformed" });
        break;
      case "set":
        redis.setUserChannels(step.event, step.user, step.channels, step.apart);
        break;
      case "seed":
        redis.seed(step.event, step.user, step.channels);
        break;
      case "sync":
        redis.sync(step.event, new Map(Object.entries(step.users)), step.apart);
        break;
      case "purge":
        redis.store.purge(step.event);
        break;
      case "arrive":
        redis.inFlight.shift()?.();
        break;
      case "passTime":
        redis.clock += step.ms;
        break;
      case "save":
        redis.save(this.#busyUsers);
        break;
      case "restartRedis":
        redis.restart(step.data, this.#busyUsers);
        redis.beginEpoch(undefined);
        for (const replica of this.replicas) replica.cut(0);
        break;
      case "loseState":
        redis.loseState();
        break;
      case "cutAll":
        for (const replica of this.replicas) replica.cut(step.undelivered);
        break;
      case "connect":
        this.#replica(step.replica).connect();
        break;
      default: {
        const replica = this.#replica(step.replica);
        if (replica.isUp) this.#runReplica(replica, step);
      }
    }
  }

  /**
   * Brings everything to rest: the control plane finishes, messages in transit arrive, connections are restored.
   *
   * @param survivors the replicas that live on, in the order in which they wake up, each when those before are at rest;
   *   the others are killed first. All if none.
   * @throws Error if it does not come to rest
   */
  settle(survivors: readonly number[]): void {
    for (const user of this.#busyUsers) this.#continueAssign(user);
    while (this.#assignments.length > 0) for (const user of this.#busyUsers) this.#continueAssign(user);
    const alive = survivors.length > 0 ? survivors : REPLICAS;
    for (const index of REPLICAS) if (!alive.includes(index)) this.#replica(index).crash();
    alive.forEach((_, last) => {
      this.#settleReplicas(alive.slice(0, last + 1).map((index) => this.#replica(index)));
    });
  }

  get #busyUsers(): string[] {
    return this.#assignments.map(({ user }) => user);
  }

  #replica(index: number): ReplicaModel {
    return this.replicas[index] as ReplicaModel;
  }

  #runReplica(replica: ReplicaModel, step: ReplicaStep): void {
    switch (step.do) {
      case "receive":
        for (let count = 0; count < step.messages; count++) replica.receive();
        break;
      case "apply":
        replica.apply(step.event, step.size, step.fate);
        break;
      case "tick":
        replica.tick();
        break;
      case "keepUp":
        this.#keepUp(replica);
        break;
      case "reconcile":
        for (let count = 0; count < step.steps && replica.reconcile(); count++);
        break;
      case "cut":
        replica.cut(step.undelivered);
        break;
      case "crash":
        replica.crash();
        break;
      case "overflow":
        replica.overflow(step.event);
        break;
      case "beginEpoch":
        this.redis.beginEpoch(replica.began);
        break;
    }
  }

  #settleReplicas(awake: readonly ReplicaModel[]): void {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      for (const arrive of this.redis.inFlight.splice(0)) arrive();
      for (const replica of awake) {
        this.#keepUp(replica);
        while (replica.isReconciling && replica.reconcile());
      }
      if (awake.every((replica) => this.#isAtRest(replica))) return;
    }
    throw new Error("the fleet does not come to rest");
  }

  #keepUp(replica: ReplicaModel): void {
    while (replica.receive());
    replica.connect();
    replica.tick();
    while (replica.receive());
    for (const eventId of new Set(replica.queue.map(({ publication }) => publication.eventId))) {
      replica.apply(eventId, replica.queue.length, "done");
    }
    replica.raiseWatermark();
  }

  #isAtRest(replica: ReplicaModel): boolean {
    const { began, connection, queue, isReconciling } = replica;
    const isCarried = began !== undefined && (this.redis.watermark?.generation ?? 0) >= began;
    return isCarried && connection?.end === undefined && queue.length === 0 && !isReconciling;
  }

  #beginAssign({ event, user, channels }: Omit<Assignment, "isAdded">): void {
    if (this.#busyUsers.includes(user)) this.redis.history.unreliable.add(user);
    const key = `${event}/${user}`;
    this.assigned.set(key, (this.assigned.get(key) ?? new Set()).add(channels.join()));
    this.redis.keys.delete(user);
    this.#assignments.push({ event, user, channels, isAdded: false });
  }

  #continueAssign(user: string): void {
    const assignment = this.#assignments.find((candidate) => candidate.user === user);
    if (assignment === undefined) return;
    const { keys } = this.redis;
    const { event, channels } = assignment;
    if (!assignment.isAdded) {
      assignment.isAdded = true;
      const key = [...new Set([...(keys.get(user) ?? []), ...channels])];
      if (key.length > 0) keys.set(user, key);
      return;
    }
    this.#assignments = this.#assignments.filter((candidate) => candidate !== assignment);
    this.redis.publish(event, user, channels);
  }
}
