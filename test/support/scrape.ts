/** One metric of an exposition. */
export interface Metric {
  type: string;
  help: string;
  /** By the name of the sample and its labels, as they are written: `name{label="value"}`. */
  samples: Map<string, number>;
}

const SAMPLE = /^([a-z_]\w*)(\{[a-z_]\w*="(?:[^"\\]|\\.)*"(?:,[a-z_]\w*="(?:[^"\\]|\\.)*")*\})? (\S+)$/;
const SUFFIXES: Readonly<Record<string, RegExp>> = { histogram: /_(bucket|sum|count)$/, summary: /_(sum|count)$/ };

/**
 * Reads Prometheus's text format, version 0.0.4, strictly: help and type before the samples, no metric and no sample
 * twice, histograms that add up.
 */
export function parseExposition(text: string): Map<string, Metric> {
  if (!text.endsWith("\n")) throw new Error("the last line must end");
  const metrics = new Map<string, Metric>();
  let current: Metric | undefined;
  let currentName = "";
  for (const line of text.split("\n").filter((each) => each !== "")) {
    const [, keyword, name = "", rest = ""] = /^# (HELP|TYPE) (\w+) (.+)$/.exec(line) ?? [];
    if (keyword === "HELP") {
      if (metrics.has(name)) throw new Error(`twice: ${name}`);
      current = { type: "", help: rest, samples: new Map() };
      currentName = name;
      metrics.set(name, current);
    } else if (keyword === "TYPE") {
      if (current === undefined || name !== currentName || current.type !== "")
        throw new Error(`out of place: ${line}`);
      current.type = rest;
    } else {
      if (current === undefined) throw new Error(`before any metric: ${line}`);
      readSample(line, currentName, current);
    }
  }
  for (const [name, metric] of metrics) if (metric.type === "histogram") checkHistogram(name, metric.samples);
  return metrics;
}

function readSample(line: string, metricName: string, { type, samples }: Metric): void {
  const [, name = "", labels = "", text = ""] = SAMPLE.exec(line) ?? [];
  const value = Number(text.replace("Inf", "Infinity").replace("Nan", "NaN"));
  const isNumber = /^([+-]?\d|[+-]Inf$|Nan$)/.test(text);
  if (name.replace(SUFFIXES[type] ?? /$^/, "") !== metricName || !isNumber) throw new Error(`malformed: ${line}`);
  if (samples.has(name + labels)) throw new Error(`twice: ${line}`);
  samples.set(name + labels, value);
}

// Buckets are cumulative, and the last is the count.
function checkHistogram(name: string, samples: ReadonlyMap<string, number>): void {
  const last = new Map<string, number>();
  for (const [key, value] of samples) {
    const [, bound = ""] = /le="([^"]+)"/.exec(key) ?? [];
    if (bound === "") continue;
    const series = key
      .replace(/,?le="[^"]+",?/, "")
      .replace("_bucket", "_count")
      .replace("{}", "");
    if (value < (last.get(series) ?? 0)) throw new Error(`not cumulative: ${key}`);
    last.set(series, value);
    if (bound === "+Inf" && samples.get(series) !== value) throw new Error(`${name}: +Inf is not the count`);
  }
}

/** Reads the present metrics of a replica. */
export async function scrape(httpAddress: string): Promise<Map<string, Metric>> {
  const response = await fetch(`http://${httpAddress}/metrics`);
  if (response.status !== 200) throw new Error(`/metrics answers ${response.status}: ${await response.text()}`);
  return parseExposition(await response.text());
}

/** Returns one sample, such as `squelch_watchers` or `squelch_snapshots_total{reason="initial"}`; undefined if there is none. */
export function sampleOf(metrics: ReadonlyMap<string, Metric>, sample: string): number | undefined {
  return [...metrics.values()].find(({ samples }) => samples.has(sample))?.samples.get(sample);
}

/** Reads one sample of a replica, see `sampleOf`. */
export async function scrapeValue(httpAddress: string, sample: string): Promise<number | undefined> {
  return sampleOf(await scrape(httpAddress), sample);
}
