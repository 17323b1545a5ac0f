import { setTimeout as sleep } from "node:timers/promises";
import { waitFor } from "../../support/waitFor.js";
import type { Fleet } from "../fleet/fleet.js";
import type { Random } from "../random.js";
import type { Write } from "../record/history.js";
import { ControlPlane, type Order } from "./controlPlane.js";
import type { World } from "./world.js";

/** The interval at which each control plane starts a write, ms. */
const PACE_MS = 15;
const STOP_TIMEOUT_MS = 60_000;
/** The fraction of writes is one in this number. */
const REVOCATIONS = 0.1;
const STRAYS = 0.02;
const SYNCS = 0.01;
const RPCS = 0.3;

/**
 * The permanent load of the control planes. A user's publications follow one another, and so do a user's calls. The two
 * kinds run concurrently, and so do the control planes.
 */
export class Workload {
  readonly writes = new Map<string, Write>();
  readonly #world: World;
  readonly #random: Random;
  readonly #controlPlanes: ControlPlane[] = [];
  readonly #busy = new Set<string>();
  /** Users whose last call gave them channels, so that a revocation by a call changes something. */
  readonly #assigned = new Set<string>();
  readonly #running = new Set<Promise<void>>();
  #areChannelsKnown = false;
  #isRunning = false;
  #loops: Promise<unknown> | undefined;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
  }

  get controlPlane(): ControlPlane {
    return this.#controlPlanes[0] as ControlPlane;
  }

  /** Connects the control planes of a fleet. */
  async open(fleet: Fleet): Promise<void> {
    for (const name of fleet.controlPlanes) {
      const redis = await fleet.store.connect(name);
      const note = (write: Omit<Write, "id">) => this.#note(write);
      const isKeyless = (userId: string) => this.#world.isKeyless(userId);
      this.#controlPlanes.push(new ControlPlane(redis, fleet.addressFor(name), note, isKeyless));
    }
  }

  /**
   * Assigns all channels to their events, so that a reconcile can interpret the control plane's sets. If none is
   * assigned yet, call it before any publication: a channel belongs to the event that names it first.
   */
  async prepare(): Promise<void> {
    this.#areChannelsKnown = false;
    const orders = this.#world.eventIds.map((eventId): Order => {
      // For a user who already has all channels, a repeat would change nothing.
      const assign = (attempt: number) => new Map([[`${eventId}.anchor${attempt}`, this.#world.channelsOf(eventId)]]);
      return { path: "rpc", eventId, assign };
    });
    const fulfilled = Promise.all(orders.map((order) => this.controlPlane.fulfil(order))).then(() => {
      this.#areChannelsKnown = true;
    });
    const isDone = () => this.#areChannelsKnown;
    await Promise.race([fulfilled, waitFor(isDone, { timeoutMs: STOP_TIMEOUT_MS, message: "channels to be known" })]);
  }

  start(): void {
    this.#isRunning = true;
    this.#loops = Promise.all(this.#controlPlanes.map((controlPlane) => this.#work(controlPlane)));
  }

  /** Resolves when all started writes are done. */
  async pause(): Promise<void> {
    this.#isRunning = false;
    await this.#loops;
    const message = () => `${this.#running.size} writes to be done`;
    await waitFor(() => this.#running.size === 0, { timeoutMs: STOP_TIMEOUT_MS, message });
  }

  close(): void {
    this.#isRunning = false;
    for (const controlPlane of this.#controlPlanes) controlPlane.close();
  }

  #note(write: Omit<Write, "id">): Write {
    const noted = { ...write, id: `w${this.writes.size}` };
    this.writes.set(noted.id, noted);
    return noted;
  }

  async #work(controlPlane: ControlPlane): Promise<void> {
    while (this.#isRunning) {
      const eventId = this.#random.pick(this.#world.eventIds);
      if (this.#world.isSynced(eventId) && this.#random.chance(SYNCS)) {
        this.#begin(controlPlane, `sync ${eventId}`, this.#syncOf(eventId));
      } else {
        const userId = this.#random.pick([...this.#world.usersOf(eventId), ...this.#world.roamers]);
        const isCall = this.#isCall(userId);
        this.#begin(controlPlane, `${isCall} ${userId}`, this.#orderFor(eventId, userId, isCall));
      }
      await sleep(PACE_MS);
    }
  }

  #begin(controlPlane: ControlPlane, resource: string, order: Order): void {
    if (this.#busy.has(resource)) return;
    this.#busy.add(resource);
    const running = controlPlane.fulfil(order).finally(() => {
      this.#busy.delete(resource);
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  #isCall(userId: string): boolean {
    const kind = this.#world.kindOf(userId);
    return kind === "rpc" || (kind === "mixed" && this.#random.chance(RPCS));
  }

  #orderFor(eventId: string, userId: string, isCall: boolean): Order {
    const isRevocation = this.#random.chance(REVOCATIONS) && this.#mayRevoke(eventId, userId, isCall);
    if (isCall && isRevocation) this.#assigned.delete(userId);
    else if (isCall) this.#assigned.add(userId);
    const path = isCall ? "rpc" : "published";
    return {
      path,
      eventId,
      assign: (attempt) => {
        // A repeated revocation could not be distinguished from the first.
        if (isRevocation && attempt === 1) return new Map([[userId, []]]);
        const strays =
          !isCall && this.#areChannelsKnown && this.#random.chance(STRAYS) ? [this.#strayFor(eventId)] : [];
        return new Map([[userId, [...this.#world.nextChannels(eventId), ...strays]]]);
      },
    };
  }

  // A channel of another event, which must be left out.
  #strayFor(eventId: string): string {
    const other = this.#random.pick(this.#world.eventIds.filter((id) => id !== eventId));
    return this.#world.channelsOf(other)[0] as string;
  }

  #mayRevoke(eventId: string, userId: string, isCall: boolean): boolean {
    if (!isCall) return true;
    const isAlone = this.#world.kindOf(userId) === "rpc" && !this.#world.isSynced(eventId);
    return isAlone && this.#assigned.has(userId);
  }

  // Half of the users keep channels, a different set for each. The others lose all.
  #syncOf(eventId: string): Order {
    const users = this.#random.shuffle(this.#world.usersOf(eventId));
    const kept = users.slice(0, users.length / 2);
    return {
      path: "sync",
      eventId,
      assign: () => new Map(kept.map((userId) => [userId, this.#world.nextChannels(eventId)])),
    };
  }
}
