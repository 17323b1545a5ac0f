import { durationMs } from "@bufbuild/protobuf/wkt";
import type { GetFleetStatusResponse, RouterLag } from "../../../gen/squelch/v1/fleet_service_pb.js";
import { describeProblem, type Problem } from "../api/problem.js";
import type { Session } from "../api/session.js";
import { timeOf } from "./format.js";

/** The time between two reads of replicas and routers while the page is visible, ms. */
const POLL_INTERVAL_MS = 4_000;

/** The replicas and routers from the last read, and the clock of Redis. */
export class FleetStatus {
  answer: GetFleetStatusResponse | undefined;
  /** The time of the answer, by `performance.now()`. */
  readMs = 0;
  /** The problem of the newest attempt; undefined if it succeeded. */
  problem: Problem | undefined;
  /** The clock of Redis minus the browser's clock, ms. Countdowns must not depend on the clock of this computer. */
  #clockOffsetMs: number | undefined;
  readonly #session: Session;
  readonly #onChange: () => void;
  readonly #stop = new AbortController();

  /** @param onChange called after each attempt */
  constructor(session: Session, onChange: () => void) {
    this.#session = session;
    this.#onChange = onChange;
  }

  /** The time by the clock of Redis, ms since 1970. If the caller may not read the fleet, the clock of the server. */
  now(): number {
    return Date.now() + (this.#clockOffsetMs ?? this.#session.clockOffsetMs);
  }

  /** Reads the fleet repeatedly until `stop` or until it is forbidden. It reads nothing while the page is hidden. */
  async run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      if (!document.hidden) await this.#read(signal);
      if (this.problem?.kind === "forbidden") return;
      await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  async #read(signal: AbortSignal): Promise<void> {
    const askedMs = Date.now();
    try {
      const answer = await this.#session.fleet.getFleetStatus({}, { signal });
      const storeMs = timeOf(answer.now);
      if (storeMs !== undefined) this.#clockOffsetMs = storeMs - (askedMs + Date.now()) / 2;
      this.answer = answer;
      this.readMs = performance.now();
      this.problem = undefined;
    } catch (error) {
      this.problem = describeProblem(error);
    }
    if (!signal.aborted) this.#onChange();
  }
}

/** A shorter lag is not shown, ms: routers report routine changes within a second. */
const ROUTINE_LAG_MS = 3_000;

/** Returns the lags of a router that are longer than reports normally take. */
export function lagsOf({ behind }: { behind: readonly RouterLag[] }): RouterLag[] {
  return behind.filter(({ age }) => age === undefined || durationMs(age) > ROUTINE_LAG_MS);
}
