// Compiles src/ and gen/ into dist/, builds the web console into dist/console, and copies the Lua scripts, which tsc does
// not copy. It builds in a separate folder and moves the result into place at the end, so that a program that runs from
// dist/ never sees an incomplete build. A failed build does not change dist/.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildConsole } from "./buildConsole.mjs";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));

const LUA_DIRECTORY = "src/engine/redis/lua";
const fresh = `dist.new-${process.pid}`;
const old = `dist.old-${process.pid}`;

async function build() {
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const compiled = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", fresh], {
    stdio: "inherit",
  });
  if (compiled.status !== 0) return false;
  if (existsSync(LUA_DIRECTORY)) {
    cpSync(LUA_DIRECTORY, `${fresh}/${LUA_DIRECTORY}`, {
      recursive: true,
      filter: (path) => path.endsWith(".lua") || !/\.[^/]+$/.test(path),
    });
  }
  await buildConsole(resolve(fresh, "console"));
  if (existsSync("dist")) renameSync("dist", old);
  renameSync(fresh, "dist");
  return true;
}

try {
  process.exitCode = (await build()) ? 0 : 1;
} finally {
  rmSync(fresh, { recursive: true, force: true });
  rmSync(old, { recursive: true, force: true });
}
