import { Receivers } from "../clients/receivers.js";
import { forEachPath, type PathKind } from "../paths/all.js";
import type { Path } from "../paths/path.js";
import { describeDelivery, describeSpans, type Load, measureDelivery } from "../support/measureDelivery.js";
import type { Row, Scenario } from "../support/scenario.js";

const KINDS: readonly PathKind[] = ["squelch", "redis", "nats", "natsKv", "etcd", "bare"];
const CONNECTIONS = 8;

type Run = Pick<Load, "receivers" | "messages" | "perSecond" | "warmUpMessages">;

export interface FanoutOptions {
  runs: readonly Run[];
  /** The number of rounds. Each row is that of the round with the median cost. */
  rounds: number;
}

/** Measures the delivery of one event's changes to many watchers. */
export const fanout: Scenario<FanoutOptions> = {
  name: "fanout",
  title: `Delivers the changes of one event to many watchers on ${CONNECTIONS} connections, at full speed and one at a time`,
  columns: {
    path: "path",
    load: "changes",
    receivers: "watchers",
    deliveries: "deliveries",
    missing: "missing",
    repeated: "repeated",
    disordered: "disordered",
    cpuUs: "CPU µs/delivery,\nall servers",
    ownCpuUs: "CPU µs/delivery,\nthe server itself",
    perSecond: "deliveries/s",
    spreadP50Ms: "first to last\np50 ms",
    spreadP99Ms: "first to last\np99 ms",
  },
  full: {
    runs: [
      { receivers: 200, messages: 2_000, warmUpMessages: 500 },
      { receivers: 1_000, messages: 1_000, warmUpMessages: 100 },
      { receivers: 1_000, messages: 100, warmUpMessages: 20, perSecond: 20 },
    ],
    rounds: 3,
  },
  smoke: {
    runs: [
      { receivers: 9, messages: 20, warmUpMessages: 5 },
      { receivers: 9, messages: 5, warmUpMessages: 2, perSecond: 50 },
    ],
    rounds: 1,
  },
  plots: [
    {
      title: "Server CPU for one change at one watcher, at full speed",
      value: "cpuUs",
      unit: "µs",
      where: { load: "saturated" },
    },
    {
      title: "One change at a time: from the first watcher to the last",
      value: "spreadP50Ms",
      unit: "ms",
      where: { load: "paced" },
    },
  ],

  async run({ runs, rounds }) {
    const receivers = await Receivers.start();
    const messages = Math.max(...runs.map((run) => run.messages + run.warmUpMessages));
    try {
      const rows = await forEachPath(KINDS, messages, async (path) => {
        const measured: Row[] = [];
        for (const [index, run] of runs.entries()) {
          const rows: Row[] = [];
          for (let round = 0; round < rounds; round++) {
            rows.push(await measure(path, receivers, { ...run, eventId: `run-${index}-${round}` }));
          }
          measured.push(medianRow(rows));
        }
        return measured;
      });
      return rows;
    } finally {
      await receivers.close();
    }
  },
};

async function measure(path: Path, receivers: Receivers, run: Run & { eventId: string }): Promise<Row> {
  const load = { ...run, connections: CONNECTIONS };
  const delivery = await measureDelivery(path, receivers, load);
  const isPaced = load.perSecond !== undefined;
  return {
    ...describeDelivery(path, load, delivery),
    load: isPaced ? "paced" : "saturated",
    perSecond: isPaced ? undefined : Math.round((delivery.deliveries * 1_000) / delivery.elapsedMs),
    ...(isPaced && describeSpans("spread", delivery.spreadsMs)),
  };
}

function medianRow(rows: readonly Row[]): Row {
  const sorted = rows.toSorted((one, other) => Number(one.cpuUs) - Number(other.cpuUs));
  return sorted[Math.floor(sorted.length / 2)] as Row;
}
