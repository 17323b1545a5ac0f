import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";

/** One value of a metric with labels. */
export interface LabelledValue {
  labels: Record<string, string>;
  value: number;
}

/** Registers a gauge that is read when it is asked for; undefined leaves it out. */
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

/** As `addGauge`, with one value for each set of labels. */
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

/** Registers a counter of something that is counted elsewhere, read when it is asked for. */
export function addCounter(registry: Registry, name: string, help: string, read: () => number): void {
  addLabelledCounter(registry, name, help, [], () => [{ labels: {}, value: read() }]);
}

/** As `addCounter`, with one value for each set of labels. */
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

// Of the process, not of a replica, and made when it is first asked for, since it measures from then on.
let processRegistry: Registry | undefined;

/** The metrics of a replica, and those of its process and of Node.js, in Prometheus's text format. */
export function exposeMetrics(registry: Registry): Promise<string> {
  if (processRegistry === undefined) {
    processRegistry = new Registry();
    collectDefaultMetrics({ register: processRegistry });
  }
  return Registry.merge([registry, processRegistry]).metrics();
}

/** The content type of `exposeMetrics`. */
export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;
