// Compiles src/ and gen/ into dist/, builds the web console into dist/console, and puts the Lua scripts beside the code
// that loads them, since tsc copies no files of other kinds. The result is built aside and moved into place, so that a program that is running from dist/ never
// sees half of it; a failed build leaves the old dist/ alone.
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
