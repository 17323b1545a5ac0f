import { setTimeout as sleep } from "node:timers/promises";
import type { Receivers } from "../clients/receivers.js";
import type { Path } from "../paths/path.js";
import { percentile } from "../report/percentiles.js";
import { monotonicUs } from "./clock.js";
import { publishOpenLoop } from "./openLoop.js";
import { processCpuUs } from "./processCpu.js";

/** The longest wait for the last messages, ms. A message that has not arrived by then is missing. */
const ARRIVAL_TIMEOUT_MS = 30_000;
/** How long a path is left idle before it is measured, so that the cost of opening it is not counted. */
const SETTLE_MS = 100;

export interface Load {
  eventId: string;
  receivers: number;
  connections: number;
  warmUpMessages: number;
  /** The number of messages that are measured. */
  messages: number;
  /** The rate of messages; undefined means as fast as the path accepts them. */
  perSecond?: number;
}

/** The results of a load. */
export interface Delivery {
  deliveries: number;
  missing: number;
  repeated: number;
  disordered: number;
  /** The time from the publishing of the first message to the arrival of the last. */
  elapsedMs: number;
  /** The CPU time of all servers per delivery of one message to one receiver. */
  cpuUs: number;
  /** The CPU time of the server that receivers are connected to, per delivery of one message to one receiver. */
  ownCpuUs: number;
  /** The time from publishing to arrival, for each delivery. */
  delaysMs: Float64Array;
  /** The time from the first receiver to the last, for each message. */
  spreadsMs: Float64Array;
}

/**
 * Sends a load over a path. Rejects if a message arrived that was not published, or arrived before it was published.
 */
export async function measureDelivery(path: Path, receivers: Receivers, load: Load): Promise<Delivery> {
  const { eventId, warmUpMessages, messages } = load;
  const sequences = warmUpMessages + messages;
  await path.prepare?.(eventId);
  await receivers.open(await path.source(eventId, load.receivers, load.connections), sequences);
  await publish(path, load, 0, warmUpMessages);
  await receivers.waitFor(warmUpMessages * load.receivers, ARRIVAL_TIMEOUT_MS);
  await path.settle();
  await sleep(SETTLE_MS);

  const before = await readCpuUs(path);
  const publishedAtUs = await publish(path, load, warmUpMessages, messages);
  await receivers.waitFor(sequences * load.receivers, ARRIVAL_TIMEOUT_MS);
  await path.settle();
  const after = await readCpuUs(path);

  const { receivedAtUs, repeated, disordered } = await receivers.collect();
  const measured = receivedAtUs.subarray(warmUpMessages * load.receivers);
  const arrivals = measured.filter((atUs) => atUs > 0);
  if (arrivals.length === 0) throw new Error(`${path.name}: nothing arrived`);
  const costsUs = after.map((us, index) => (us - (before[index] as number)) / arrivals.length);
  return {
    deliveries: arrivals.length,
    missing: receivedAtUs.length - warmUpMessages * load.receivers - arrivals.length,
    repeated,
    disordered,
    elapsedMs: (arrivals.reduce((latest, atUs) => Math.max(latest, atUs), 0) - (publishedAtUs[0] as number)) / 1_000,
    cpuUs: costsUs.reduce((sum, us) => sum + us, 0),
    ownCpuUs: costsUs.at(-1) as number,
    ...readTimes(path, measured, publishedAtUs, load.receivers),
  };
}

/** The fields that every row about deliveries has. */
export function describeDelivery(path: Path, { receivers }: Load, delivery: Delivery) {
  const { deliveries, missing, repeated, disordered, cpuUs, ownCpuUs } = delivery;
  return { path: path.name, receivers, deliveries, missing, repeated, disordered, cpuUs, ownCpuUs };
}

/** Returns percentiles of durations, in fields with that name. */
export function describeSpans(name: string, spansMs: Float64Array): Record<string, number> {
  return {
    [`${name}P50Ms`]: percentile(spansMs, 50),
    [`${name}P99Ms`]: percentile(spansMs, 99),
    [`${name}MaxMs`]: percentile(spansMs, 100),
  };
}

function readTimes(path: Path, receivedAtUs: Float64Array, publishedAtUs: readonly number[], receivers: number) {
  const delaysMs: number[] = [];
  const spreadsMs: number[] = [];
  for (const [message, sentUs] of publishedAtUs.entries()) {
    let firstUs = Number.POSITIVE_INFINITY;
    let lastUs = 0;
    for (const atUs of receivedAtUs.subarray(message * receivers, (message + 1) * receivers)) {
      if (atUs === 0) continue;
      if (atUs < sentUs) throw new Error(`${path.name}: a message arrived before it was published`);
      delaysMs.push((atUs - sentUs) / 1_000);
      firstUs = Math.min(firstUs, atUs);
      lastUs = Math.max(lastUs, atUs);
    }
    if (lastUs > 0) spreadsMs.push((lastUs - firstUs) / 1_000);
  }
  return { delaysMs: Float64Array.from(delaysMs), spreadsMs: Float64Array.from(spreadsMs) };
}

function readCpuUs({ servers }: Path): Promise<number[]> {
  return Promise.all(servers.map(({ pid }) => processCpuUs(pid)));
}

// Resolves with the time at which each message was published.
async function publish(
  path: Path,
  { eventId, perSecond }: Load,
  first: number,
  count: number,
): Promise<readonly number[]> {
  const send = (index: number) => path.publish(eventId, first + index);
  if (perSecond !== undefined) return publishOpenLoop(count, perSecond, send);
  const publishedAtUs: number[] = [];
  for (let index = 0; index < count; index++) {
    publishedAtUs.push(monotonicUs());
    send(index);
  }
  return publishedAtUs;
}
