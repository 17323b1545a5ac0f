import { Receivers } from "../clients/receivers.js";
import { forEachPath, type PathKind } from "../paths/all.js";
import { describeDelivery, describeSpans, type Load, measureDelivery } from "../support/measureDelivery.js";
import type { Row, Scenario } from "../support/scenario.js";

const KINDS: readonly PathKind[] = ["squelch", "redis", "natsKv", "etcd"];
const CONNECTIONS = 8;

type Run = Required<Pick<Load, "receivers" | "messages" | "perSecond" | "warmUpMessages">>;

export interface LatencyOptions {
  /** Each rate runs for two seconds, with as many watchers as a machine with two cores can serve at that rate. */
  runs: readonly Run[];
}

const run = (perSecond: number, receivers: number): Run => ({
  ...{ perSecond, receivers, messages: 2 * perSecond, warmUpMessages: perSecond / 2 },
});

/** Measures the time from PUBLISH to receipt at a steady rate. */
export const latency: Scenario<LatencyOptions> = {
  name: "latency",
  title:
    "The time from publishing a change to its arrival at every watcher. The rate stays the same when deliveries are late",
  columns: {
    path: "path",
    changesPerSecond: "changes/s",
    receivers: "watchers",
    deliveries: "deliveries",
    missing: "missing",
    repeated: "repeated",
    disordered: "disordered",
    delayP50Ms: "p50 ms",
    delayP99Ms: "p99 ms",
    delayMaxMs: "max ms",
    cpuUs: "CPU µs/delivery,\nall servers",
    ownCpuUs: "CPU µs/delivery,\nthe server itself",
  },
  full: {
    runs: [...[run(100, 1), run(100, 100), run(100, 1_000)], ...[run(1_000, 1), run(1_000, 100)], ...[run(10_000, 1)]],
  },
  smoke: { runs: [run(40, 1), run(40, 12)] },
  plots: [
    {
      title: "1,000 changes/s to 100 watchers, p50",
      value: "delayP50Ms",
      unit: "ms",
      where: { changesPerSecond: 1_000, receivers: 100 },
    },
    {
      title: "1,000 changes/s to 100 watchers, p99",
      value: "delayP99Ms",
      unit: "ms",
      where: { changesPerSecond: 1_000, receivers: 100 },
    },
  ],

  async run({ runs }) {
    const receivers = await Receivers.start();
    try {
      return await forEachPath(KINDS, 0, async (path) => {
        const rows: Row[] = [];
        for (const [index, { perSecond, ...rest }] of runs.entries()) {
          const connections = Math.min(CONNECTIONS, rest.receivers);
          const load = { ...rest, perSecond, connections, eventId: `run-${index}` };
          const delivery = await measureDelivery(path, receivers, load);
          rows.push({
            ...describeDelivery(path, load, delivery),
            ...describeSpans("delay", delivery.delaysMs),
            changesPerSecond: perSecond,
          });
        }
        return rows;
      });
    } finally {
      await receivers.close();
    }
  },
};
