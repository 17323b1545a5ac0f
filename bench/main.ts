// Measures Squelch beside its peers: `npm run bench -- [scenario…] [--json] [--smoke] [--report FILE]`. Without a name all
// scenarios are run. Exit code 1 if a scenario failed, 2 if the arguments are wrong.
import { parseArgs } from "node:util";
import { describeEnvironment, readEnvironment } from "./report/environment.js";
import { writeReport } from "./report/markdownReport.js";
import { renderTable } from "./report/table.js";
import { channels } from "./scenarios/channels.js";
import { cold } from "./scenarios/cold.js";
import { emergency } from "./scenarios/emergency.js";
import { endToEnd } from "./scenarios/endToEnd.js";
import { failover } from "./scenarios/failover.js";
import { fanout } from "./scenarios/fanout.js";
import { floor } from "./scenarios/floor.js";
import { growth } from "./scenarios/growth.js";
import { herd } from "./scenarios/herd.js";
import { ingest } from "./scenarios/ingest.js";
import { latency } from "./scenarios/latency.js";
import { memory } from "./scenarios/memory.js";
import { pause } from "./scenarios/pause.js";
import { resume } from "./scenarios/resume.js";
import { speakers } from "./scenarios/speakers.js";
import { webConsole } from "./scenarios/webConsole.js";
import type { Result, Row, Scenario } from "./support/scenario.js";

interface NamedRun extends Omit<Scenario, "full" | "smoke" | "run"> {
  run(isSmoke: boolean): Promise<Row[]>;
}

function toRun<Options>(scenario: Scenario<Options>): NamedRun {
  const { full, smoke, run, ...described } = scenario;
  return { ...described, run: (isSmoke) => run(isSmoke ? smoke : full) };
}

const SCENARIOS: readonly NamedRun[] = [
  toRun(fanout),
  toRun(latency),
  toRun(endToEnd),
  toRun(herd),
  toRun(memory),
  toRun(growth),
  toRun(pause),
  toRun(emergency),
  toRun(speakers),
  toRun(floor),
  toRun(channels),
  toRun(ingest),
  toRun(failover),
  toRun(resume),
  toRun(cold),
  toRun(webConsole),
];

const USAGE = `usage: npm run bench -- [scenario…] [--json] [--smoke] [--report FILE]

  --json         one line a scenario, with the environment
  --smoke        tiny numbers: shows that it works, measures nothing
  --report FILE  writes all tables as Markdown, and plots into a folder beside it

scenarios:
${SCENARIOS.map(({ name, title }) => `  ${name.padEnd(10)}${title}`).join("\n")}`;

interface Arguments {
  json: boolean;
  smoke: boolean;
  report: string | undefined;
  scenarios: readonly NamedRun[];
}

function readArguments(): Arguments {
  const options = {
    json: { type: "boolean", default: false },
    smoke: { type: "boolean", default: false },
    report: { type: "string" },
  } as const;
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const chosen = positionals.map((name) => {
    const scenario = SCENARIOS.find((known) => known.name === name);
    if (scenario === undefined) throw new Error(`there is no scenario "${name}"`);
    return scenario;
  });
  return { ...values, report: values.report, scenarios: chosen.length > 0 ? chosen : SCENARIOS };
}

async function runScenarios({ json, smoke, report, scenarios }: Arguments): Promise<void> {
  const environment = await readEnvironment();
  if (!json) console.log(describeEnvironment(environment));
  const results: Result[] = [];
  for (const { run, ...scenario } of scenarios) {
    const rows = await run(smoke);
    results.push({ ...scenario, rows });
    if (json) console.log(JSON.stringify({ scenario: scenario.name, environment, rows }));
    else console.log(`\n${scenario.name}: ${scenario.title}\n${renderTable(scenario, rows)}`);
    if (rows.some(({ missing, repeated, disordered }) => [missing, repeated, disordered].some(Boolean))) {
      console.error(`${scenario.name}: messages are missing, arrived twice or arrived in another order`);
      process.exitCode = 1;
    }
    // The next scenario runs even if this one fails.
    if (report !== undefined) await writeReport(report, environment, results);
  }
}

let given: Arguments | undefined;
try {
  given = readArguments();
} catch (error) {
  console.error(`${(error as Error).message}\n${USAGE}`);
  process.exitCode = 2;
}
if (given !== undefined) await runScenarios(given);
