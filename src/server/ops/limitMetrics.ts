import type { Registry } from "prom-client";
import { type MembershipLimit, SquelchError } from "../../domain/errors.js";
import type { Engine } from "../../domain/ports/engine.js";
import { addLabelledCounter } from "./metrics.js";

/** How many requests each limit has rejected since the start. */
export type LimitRefusals = Record<
  "streams" | "calls" | "connections" | "connections_per_address" | MembershipLimit,
  number
>;

/** Registers the metric of rejections by limits, and returns its counters. */
export function createLimitRefusals(registry: Registry): LimitRefusals {
  const refused = {
    ...{ streams: 0, calls: 0, connections: 0, connections_per_address: 0 },
    ...{ users_per_event: 0, channels_per_user: 0 },
  };
  addLabelledCounter(
    registry,
    "squelch_limit_refusals_total",
    "Calls, streams, connections, users and channel lists that exceeded a limit, by limit",
    ["limit"],
    () => Object.entries(refused).map(([limit, value]) => ({ labels: { limit }, value })),
  );
  return refused;
}

/** Wraps an engine so that memberships are counted that a limit rejected completely or in part. */
export function countOverLimit(engine: Engine, refused: LimitRefusals): Engine {
  const counted = async <T>(write: Promise<T>): Promise<T> => {
    try {
      return await write;
    } catch (error) {
      if (error instanceof SquelchError && error.limit !== undefined) refused[error.limit]++;
      throw error;
    }
  };
  return {
    ...engine,
    setUserChannels: (write) => counted(engine.setUserChannels(write)),
    syncMembers: (sync) => counted(engine.syncMembers(sync)),
    async applyMemberships(...args) {
      const outcomes = await engine.applyMemberships(...args);
      for (const { overLimit } of outcomes) if (overLimit !== undefined) refused[overLimit]++;
      return outcomes;
    },
  };
}
