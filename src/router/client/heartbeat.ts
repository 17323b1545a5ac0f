import type { ServiceError } from "@grpc/grpc-js";
import type { Logger } from "../../lib/logger.js";

/** The connected users of each event. */
export type TrackedUsers = ReadonlyMap<string, ReadonlySet<string>>;

const PARALLEL = 8;

/**
 * Reads the permissions of every connected user from the store, once in each interval, while it runs. If a call fails, the
 * other users of that event are left out until the next interval, so that an unreachable replica does not get thousands
 * of calls.
 */
export class Heartbeat {
  readonly #users: TrackedUsers;
  readonly #ask: (eventId: string, userId: string) => Promise<unknown>;
  readonly #intervalMs: number;
  readonly #logger: Logger;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    users: TrackedUsers,
    ask: (eventId: string, userId: string) => Promise<unknown>,
    intervalMs: number,
    logger: Logger,
  ) {
    this.#users = users;
    this.#ask = ask;
    this.#intervalMs = intervalMs;
    this.#logger = logger;
  }

  /** Starts. The first round follows after one interval, shortened at random by up to a quarter. Idempotent. */
  start(): void {
    if (this.#timer) return;
    const timer = setTimeout(
      async () => {
        await this.#askForAll(() => this.#timer === timer);
        if (this.#timer !== timer) return;
        this.#timer = undefined;
        this.start();
      },
      this.#intervalMs * (1 - Math.random() / 4),
    );
    this.#timer = timer;
  }

  /** Stops. Idempotent. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #askForAll(isWanted: () => boolean): Promise<void> {
    const questions = [...this.#users].flatMap(([eventId, users]) => [...users].map((userId) => ({ eventId, userId })));
    const failedEvents = new Set<string>();
    const askInTurn = async () => {
      for (let next = questions.pop(); next && isWanted(); next = questions.pop()) {
        const { eventId, userId } = next;
        if (failedEvents.has(eventId)) continue;
        try {
          await this.#ask(eventId, userId);
        } catch (error) {
          failedEvents.add(eventId);
          const { code, details } = error as ServiceError;
          this.#logger.warn({ eventId, userId, code, details }, "heartbeat failed");
        }
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, askInTurn));
  }
}
