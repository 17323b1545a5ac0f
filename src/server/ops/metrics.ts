import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";

/** One value of a metric with labels. */
export interface LabelledValue {
  labels: Record<string, string>;
  value: number;
}

/** Registers a gauge. `read` runs at each scrape; if it returns undefined, the gauge has no value. */
export function addGauge(registry: Registry, name: string, help: string, read: () => number | undefined): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      const value = read();
      if (value === undefined) this.remove();
      else this.set(value);
    },
  });
}

/** Registers a gauge with one value for each set of labels. `read` runs at each scrape. */
export function addLabelledGauge(
  registry: Registry,
  name: string,
  help: string,
  labelNames: string[],
  read: () => LabelledValue[],
): void {
  new Gauge({
    name,
    help,
    labelNames,
    registers: [registry],
    collect() {
      for (const { labels, value } of read()) this.set(labels, value);
    },
  });
}

/** Registers a counter of something that is counted elsewhere. `read` runs at each scrape. */
export function addCounter(registry: Registry, name: string, help: string, read: () => number): void {
  addLabelledCounter(registry, name, help, [], () => [{ labels: {}, value: read() }]);
}

/** Registers a counter with one value for each set of labels. `read` runs at each scrape. */
export function addLabelledCounter(
  registry: Registry,
  name: string,
  help: string,
  labelNames: string[],
  read: () => LabelledValue[],
): void {
  new Counter({
    name,
    help,
    labelNames,
    registers: [registry],
    collect() {
      this.reset();
      for (const { labels, value } of read()) this.inc(labels, value);
    },
  });
}

// The metrics of the process, shared by all replicas in it. Created at the first scrape, since it measures from then on.
let processRegistry: Registry | undefined;

/** Returns the metrics of a replica, of its process and of Node.js, in the text format of Prometheus. */
export function exposeMetrics(registry: Registry): Promise<string> {
  if (processRegistry === undefined) {
    processRegistry = new Registry();
    collectDefaultMetrics({ register: processRegistry });
  }
  return Registry.merge([registry, processRegistry]).metrics();
}

/** The content type of the text that `exposeMetrics` returns. */
export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;
