import { durationMs } from "@bufbuild/protobuf/wkt";
import type { GetFleetStatusResponse, RouterLag } from "../../../gen/squelch/v1/permission_service_pb.js";
import { describeProblem, type Problem } from "../api/problem.js";
import type { Session } from "../api/session.js";
import { timeOf } from "./format.js";

/** How often replicas and routers are asked for while the page is to be seen, ms. */
const POLL_INTERVAL_MS = 4_000;

/** The replicas and routers as last read, and what that told of the store's clock. */
export class FleetStatus {
  answer: GetFleetStatusResponse | undefined;
  /** When the answer came, on the clock of `performance.now()`. */
  readMs = 0;
  /** Why the newest attempt failed. */
  problem: Problem | undefined;
  /** The store's clock minus the browser's, ms: what counts down here must not depend on this computer's clock. */
  #clockOffsetMs: number | undefined;
  readonly #session: Session;
  readonly #onChange: () => void;
  readonly #stop = new AbortController();

  /** @param onChange called after each attempt */
  constructor(session: Session, onChange: () => void) {
    this.#session = session;
    this.#onChange = onChange;
  }

  /** The store's time, ms since 1970; the server's, where the caller may not ask for the fleet. */
  now(): number {
    return Date.now() + (this.#clockOffsetMs ?? this.#session.clockOffsetMs);
  }

  /** Asks again and again until `stop`, or until it is forbidden; one call at a time, and none while the page is hidden. */
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
      const answer = await this.#session.permissions.getFleetStatus({}, { signal });
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

/** Routers report what is routine within a second: what takes no longer than this is no lag, ms. */
const ROUTINE_LAG_MS = 3_000;

/** Where a router has been behind for longer than reports take. */
export function lagsOf({ behind }: { behind: readonly RouterLag[] }): RouterLag[] {
  return behind.filter(({ age }) => age === undefined || durationMs(age) > ROUTINE_LAG_MS);
}
