import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import type { Checkpoint } from "../../../gen/squelch/v1/model_pb.js";
import { backoffMs } from "../../lib/backoff.js";
import { describeProblem, type Problem } from "../api/problem.js";
import type { Session } from "../api/session.js";
import { FleetPicture } from "./fleetPicture.js";
import type { FeedState, Link } from "./freshness.js";

const CHECKPOINT_INTERVAL_MS = 2_000;
/** A stream without a message for this long counts as dead, ms. */
const SILENCE_MS = 3 * CHECKPOINT_INTERVAL_MS;
/** The longest wait is the third step of the back-off, about 4 s, because a dispatcher is waiting. */
const MAX_BACKOFF_STEP = 3;

/**
 * The stream of the page. It is opened again when it ends or is silent, and resumes from the last position. The picture stays
 * when the stream is lost; `link`, `isHealthy` and `provenMs` show how up to date it is.
 */
export class LiveFeed implements FeedState {
  readonly picture = new FleetPicture();
  link: Link = { state: "connecting" };
  isHealthy: boolean | undefined;
  provenMs: number | undefined;
  readonly #session: Session;
  readonly #onChange: () => void;
  #isStopped = false;
  #stream = new AbortController();
  #wake: () => void = () => undefined;

  /** @param onChange called after each message and each change of the link */
  constructor(session: Session, onChange: () => void) {
    this.#session = session;
    this.#onChange = onChange;
  }

  /** Runs until `stop`, or until the server refuses. */
  async run(): Promise<void> {
    let failures = 0;
    while (!this.#isStopped) {
      const hasHeard = await this.#follow();
      if (this.#isStopped || this.link.state === "refused") return;
      failures = hasHeard ? 1 : failures + 1;
      await this.#pause(backoffMs(Math.min(failures, MAX_BACKOFF_STEP)));
    }
  }

  /** Ends a wait before the next attempt, for example because the network is back. */
  retryNow(): void {
    this.#wake();
  }

  stop(): void {
    this.#isStopped = true;
    this.#stream.abort();
    this.#wake();
  }

  // Follows one stream to its end. Resolves with true if a message arrived.
  async #follow(): Promise<boolean> {
    const stream = new AbortController();
    this.#stream = stream;
    let hasHeard = false;
    let watchdog = 0;
    const watch = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(
        () => stream.abort(new Error("no message from the server")),
        SILENCE_MS,
      ) as unknown as number;
    };
    const request = {
      cursors: this.picture.resume(),
      withSpeakers: true,
      checkpointInterval: durationFromMs(CHECKPOINT_INTERVAL_MS),
    };
    this.isHealthy = undefined;
    watch();
    try {
      for await (const message of this.#session.permissions.watchPermissions(request, {
        signal: stream.signal,
        timeoutMs: 0,
      })) {
        watch();
        hasHeard = true;
        this.link = { state: "open" };
        const checkpoint = this.picture.take(message);
        if (checkpoint !== undefined) this.#takeCheckpoint(checkpoint);
        this.#onChange();
      }
      this.#lose({ kind: "unreachable", text: "The server ended the stream.", reason: undefined });
    } catch (error) {
      this.#lose(describeProblem(error));
    } finally {
      clearTimeout(watchdog);
    }
    return hasHeard;
  }

  #takeCheckpoint({ feedHealthy, feedAge }: Checkpoint): void {
    this.isHealthy = feedHealthy;
    if (feedAge !== undefined) {
      this.provenMs = Math.max(performance.now() - durationMs(feedAge), this.provenMs ?? Number.NEGATIVE_INFINITY);
    }
  }

  #lose(problem: Problem): void {
    this.isHealthy = undefined;
    const isRefused = problem.kind === "signIn" || problem.kind === "forbidden";
    this.link = { state: isRefused ? "refused" : "lost", problem };
    if (!this.#isStopped) this.#onChange();
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
