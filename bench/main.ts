// Measures Squelch beside its peers: `npm run bench -- [scenario…] [--json] [--smoke]`. Without a name all scenarios are
// run. Exit code 1 if a scenario failed, 2 if the arguments are wrong.
import { parseArgs } from "node:util";
import { cold } from "./scenarios/cold.js";
import { failover } from "./scenarios/failover.js";
import { latency } from "./scenarios/latency.js";
import { pause } from "./scenarios/pause.js";
import { resume } from "./scenarios/resume.js";
import { speakers } from "./scenarios/speakers.js";
import { readEnvironment } from "./support/environment.js";
import { renderTable } from "./support/report.js";
import type { Row, Scenario } from "./support/scenario.js";

interface NamedRun extends Pick<Scenario, "name" | "title" | "columns"> {
  run(isSmoke: boolean): Promise<Row[]>;
}

function toRun<Options>(scenario: Scenario<Options>): NamedRun {
  const { name, title, columns, full, smoke } = scenario;
  return { name, title, columns, run: (isSmoke) => scenario.run(isSmoke ? smoke : full) };
}

const SCENARIOS: readonly NamedRun[] = [
  toRun(latency),
  toRun(pause),
  toRun(speakers),
  toRun(failover),
  toRun(resume),
  toRun(cold),
];

const USAGE = `usage: npm run bench -- [scenario…] [--json] [--smoke]

  --json   one line a scenario, with the environment
  --smoke  tiny numbers: shows that it works, measures nothing

scenarios:
${SCENARIOS.map(({ name, title }) => `  ${name.padEnd(10)}${title}`).join("\n")}`;

interface Arguments {
  json: boolean;
  smoke: boolean;
  scenarios: readonly NamedRun[];
}

function readArguments(): Arguments {
  const options = { json: { type: "boolean", default: false }, smoke: { type: "boolean", default: false } } as const;
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const chosen = positionals.map((name) => {
    const scenario = SCENARIOS.find((known) => known.name === name);
    if (scenario === undefined) throw new Error(`there is no scenario "${name}"`);
    return scenario;
  });
  return { ...values, scenarios: chosen.length > 0 ? chosen : SCENARIOS };
}

async function runScenarios({ json, smoke, scenarios }: Arguments): Promise<void> {
  const environment = await readEnvironment();
  const { cpu, cores, node, redis, load } = environment;
  if (!json) console.log(`${cpu}, ${cores} cores, load ${load.toFixed(2)}, Node ${node}, Redis ${redis}`);
  for (const { name, title, columns, run } of scenarios) {
    const rows = await run(smoke);
    if (json) console.log(JSON.stringify({ scenario: name, environment, rows }));
    else console.log(`\n${name}: ${title}\n${renderTable({ columns }, rows)}`);
    if (rows.some(({ missing, repeated }) => Boolean(missing) || Boolean(repeated))) {
      console.error(`${name}: messages are missing or came twice`);
      process.exitCode = 1;
    }
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
