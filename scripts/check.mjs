// Runs all static checks of the code. Every step runs and prints one line. The output of a failed step is printed too. No
// step needs a network.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
process.env.PATH = `${join(process.cwd(), "node_modules", ".bin")}${delimiter}${process.env.PATH}`;

const generated = mkdtempSync(join(tmpdir(), "squelch-gen-"));

/** The steps by name. All commands of a step must succeed. */
const STEPS = {
  format: [
    ["biome", "format", "."],
    ["buf", "format", "--diff", "--exit-code"],
  ],
  lint: [
    ["biome", "lint", "--error-on-warnings", "."],
    ["buf", "lint"],
  ],
  layers: [
    ["node", "scripts/checkLayers.mjs"],
    ["node", "scripts/checkFolders.mjs"],
  ],
  types: [
    ["tsc", "--noEmit", "-p", "tsconfig.json"],
    ["tsc", "--noEmit", "-p", "src/console"],
  ],
  "generated code": [
    ["buf", "generate", "--output", generated],
    ["diff", "--recursive", "--unified", "gen", join(generated, "gen")],
  ],
  // proto/baseline.binpb is the contract of the last release. `npm run baseline` updates it for a new release.
  "breaking changes": [["buf", "breaking", "proto", "--against", "proto/baseline.binpb"]],
  "dead code": [["knip", "--no-progress"]],
};

/** @param {string[]} command */
function run([program = "", ...args]) {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = [`$ ${[program, ...args].join(" ")}`, stdout, stderr, error?.message].filter(Boolean).join("\n");
  return { passed: status === 0, output };
}

try {
  for (const [name, commands] of Object.entries(STEPS)) {
    const startedAt = performance.now();
    const failed = commands.map(run).filter(({ passed }) => !passed);
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
    console.log(`${failed.length === 0 ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
    for (const { output } of failed) {
      console.log(output);
      process.exitCode = 1;
    }
  }
} finally {
  rmSync(generated, { recursive: true, force: true });
}
