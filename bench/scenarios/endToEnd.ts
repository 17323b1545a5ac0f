import { Receivers } from "../clients/receivers.js";
import type { Path } from "../paths/path.js";
import { startPlainRouterPath, startReferenceRouterPath } from "../paths/routers.js";
import { describeDelivery, describeSpans, measureDelivery } from "../support/measureDelivery.js";
import type { Row, Scenario } from "../support/scenario.js";

export interface EndToEndOptions {
  /** The users of one event, each with a WebSocket. */
  users: number;
  perSecond: number;
  messages: number;
  warmUpMessages: number;
  rounds: number;
}

/** Measures the time from the control plane to the client. */
export const endToEnd: Scenario<EndToEndOptions> = {
  name: "end-to-end",
  title:
    "The time from PUBLISH to permission-update on the user's WebSocket, compared with a router that subscribes to Redis itself",
  columns: {
    path: "path",
    users: "users",
    changesPerSecond: "changes/s",
    deliveries: "deliveries",
    missing: "missing",
    repeated: "repeated",
    delayP50Ms: "p50 ms",
    delayP99Ms: "p99 ms",
    delayMaxMs: "max ms",
    cpuUs: "CPU µs/change,\nall servers",
    ownCpuUs: "CPU µs/change,\nthe router",
  },
  full: { users: 100, perSecond: 1_000, messages: 3_000, warmUpMessages: 2_000, rounds: 3 },
  smoke: { users: 4, perSecond: 50, messages: 20, warmUpMessages: 10, rounds: 1 },
  plots: [
    { title: "To the WebSocket at 1,000 changes/s, p50", value: "delayP50Ms", unit: "ms" },
    { title: "To the WebSocket at 1,000 changes/s, p99", value: "delayP99Ms", unit: "ms" },
  ],

  async run(options) {
    const receivers = await Receivers.start();
    try {
      const rows: Row[] = [];
      for (const start of [startReferenceRouterPath, startPlainRouterPath]) {
        const path = await start(options.users);
        try {
          rows.push(await measure(path, receivers, options));
        } finally {
          await path.close();
        }
      }
      return rows;
    } finally {
      await receivers.close();
    }
  },
};

// The round with the median p99.
async function measure(path: Path, receivers: Receivers, { rounds, users, ...rest }: EndToEndOptions): Promise<Row> {
  const rows: Row[] = [];
  for (let round = 0; round < rounds; round++) {
    const load = { ...rest, eventId: `round-${round}`, receivers: 1, connections: 1 };
    const delivery = await measureDelivery(path, receivers, load);
    rows.push({
      ...describeDelivery(path, load, delivery),
      ...describeSpans("delay", delivery.delaysMs),
      users,
      changesPerSecond: rest.perSecond,
    });
  }
  return rows.sort((one, other) => Number(one.delayP99Ms) - Number(other.delayP99Ms))[Math.floor(rounds / 2)] as Row;
}
