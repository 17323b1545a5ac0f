import { spawnSync } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findCrowdedFolders, findLongFiles } from "../../../scripts/checkFolders.mjs";
import { findLayerBreaks } from "../../../scripts/checkLayers.mjs";
import { findMissing } from "../../../scripts/completeLock.mjs";
import { countTests } from "../../../scripts/testTotals.mjs";

const BIOME = join(process.cwd(), "node_modules", ".bin", "biome");

/** One file for each rule that the project relies on, with code that breaks it. */
const VIOLATIONS: Record<string, { path: string; source: string }> = {
  noFloatingPromises: {
    path: "src/domain/floating.ts",
    source: 'import { wait } from "../lib/wait.js";\nexport function run(): void {\n  wait();\n}\n',
  },
  noMisusedPromises: {
    path: "src/domain/misused.ts",
    source: 'import { wait } from "../lib/wait.js";\nexport const isDone = () => (wait() ? 1 : 2);\n',
  },
  noImportCycles: {
    path: "src/domain/first.ts",
    source: 'import { second } from "./second.js";\nexport const first = () => second;\n',
  },
  noDefaultExport: { path: "src/domain/byDefault.ts", source: "export default 1;\n" },
  noProcessEnv: { path: "src/domain/environment.ts", source: "export const home = process.env.HOME;\n" },
  noConsole: { path: "src/domain/talkative.ts", source: 'console.info("x");\n' },
  noBarrelFile: { path: "src/domain/index.ts", source: 'export * from "./second.js";\n' },
  noEmptyBlockStatements: {
    path: "src/domain/swallowed.ts",
    source: 'try {\n  JSON.parse("");\n} catch {}\n',
  },
  noExcessiveLinesPerFile: { path: "src/domain/long.ts", source: "export {};\n".repeat(401) },
  useFilenamingConvention: { path: "src/domain/snake_case.ts", source: "export const a = 1;\n" },
  noFocusedTests: { path: "test/unit/focused.test.ts", source: 'it.only("x", () => 1);\n' },
  noSkippedTests: { path: "test/unit/skipped.test.ts", source: 'it.skip("x", () => 1);\n' },
};

const CLEAN: Record<string, string> = {
  "src/lib/wait.ts": "export async function wait(): Promise<boolean> {\n  return await Promise.resolve(true);\n}\n",
  "src/domain/second.ts": 'import { first } from "./first.js";\nexport const second = () => first;\n',
  "src/server/config.ts": "export const home = process.env.HOME;\n",
  "src/server/index.ts": 'export { home } from "./config.js";\n',
};

describe("biome.json", () => {
  let directory: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "squelch-lint-"));
    const files = Object.values(VIOLATIONS).map(({ path, source }) => [path, source] as const);
    for (const [path, source] of [...files, ...Object.entries(CLEAN)]) {
      await mkdir(join(directory, dirname(path)), { recursive: true });
      await writeFile(join(directory, path), source);
    }
    for (const name of ["biome.json", "package.json"]) await copyFile(name, join(directory, name));
  });
  afterAll(() => rm(directory, { recursive: true }));

  it("turns on each rule that the project relies on, with its exceptions", async () => {
    const { status, stdout } = spawnSync(BIOME, ["lint", "--reporter=json", "."], { cwd: directory, encoding: "utf8" });
    expect(status).toBe(1);
    const { diagnostics } = JSON.parse(stdout) as { diagnostics: { category: string; location: { path: string } }[] };
    const found = diagnostics.map(({ category, location }) => `${category.split("/").at(-1)} ${location.path}`);
    for (const [rule, { path }] of Object.entries(VIOLATIONS)) expect(found).toContain(`${rule} ${path}`);
    expect(found.filter((line) => /src\/(lib|server)\//.test(line))).toEqual([]);
  });
});

describe("findLayerBreaks", () => {
  it.each([
    ["src/domain/change.ts", 'import { Hub } from "../server/feed/hub.js";'],
    ["src/domain/change.ts", 'import type { Change } from "../../../gen/squelch/v1/permission_service_pb.js";'],
    ["src/lib/ring.ts", 'export { Cursor } from "../domain/cursor.js";'],
    ["src/router/relay/frames.ts", 'const { start } = await import("../../server/start.js");'],
    ["src/engine/redis/store.ts", 'import { Store } from "../memory/store.js";'],
    ["src/server/feed/hub.ts", 'import {\n  a,\n  b,\n} from "../rpc/convert.js";'],
    ["src/cli/commands/watch.ts", 'import "../../engine/memory/store.js";'],
    ["src/utils/text.ts", ""],
  ])("refuses in %s: %s", (path, source) => {
    expect(findLayerBreaks(path, source)).toHaveLength(1);
  });

  it.each([
    ["src/cli/commands/programs/serve.ts", 'import { start } from "../../../server/start.js";'],
    ["src/server/start.ts", 'import { createGrpcServer } from "./rpc/grpc/grpcServer.js";'],
    [
      "src/server/rpc/calls/convert.ts",
      'import { Change } from "../../../../gen/squelch/v1/permission_service_pb.js";',
    ],
    ["src/server/state/reconcile.ts", 'import { loadConfig } from "../config.js";'],
    ["src/engine/redis/store.ts", 'import { KEYS } from "./keys.js";\nimport { Redis } from "ioredis";'],
    ["src/domain/ports/engine.ts", 'import type { Clock } from "../../lib/clock.js";'],
  ])("allows in %s: %s", (path, source) => {
    expect(findLayerBreaks(path, source)).toEqual([]);
  });
});

describe("findCrowdedFolders", () => {
  const files = (count: number, folder: string) => Array.from({ length: count }, (_, i) => `${folder}/file${i}.ts`);

  it("allows 16 files in a folder, and any number below its sub-folders", () => {
    const paths = [...files(16, "src/a"), ...files(16, "src/a/b"), ...files(16, "src/a/c")];
    expect(findCrowdedFolders(paths)).toEqual([]);
  });

  it("refuses 17 files of any kind in a folder", () => {
    const paths = [...files(16, "src/a"), "src/a/style.css", ...files(2, "src/b")];
    expect(findCrowdedFolders(paths)).toEqual(["src/a: holds 17 files; move some to sub-folders, at most 16 stay"]);
  });
});

describe("findLongFiles", () => {
  it.each([
    ["src/a.ts", 400],
    ["src/a.lua", 400],
    ["test/unit/a.test.ts", 500],
    ["src/console/style/a.css", 900],
    ["bench/a.ts", 900],
  ])("allows %s with %i lines", (path, lines) => {
    expect(findLongFiles([[path, "x\n".repeat(lines)]])).toEqual([]);
  });

  it.each([
    ["src/a.ts", 401],
    ["src/a.tsx", 401],
    ["src/a.lua", 401],
    ["test/unit/a.test.ts", 501],
  ])("refuses %s with %i lines, comments and blank lines counted", (path, lines) => {
    expect(findLongFiles([[path, `//\n${"\n".repeat(lines - 1)}`]])).toEqual([
      `${path}: has ${lines} lines; split it, at most ${lines - 1} fit`,
    ]);
  });
});

describe("package-lock.json", () => {
  it("serves every platform and every registry (after an install: node scripts/completeLock.mjs)", async () => {
    const text = await readFile("package-lock.json", "utf8");
    expect(text).not.toContain('"resolved"');
    expect([...findMissing(JSON.parse(text)).keys()]).toEqual([]);
  });

  it("is completed with the platforms in the names of packages", () => {
    const optionalDependencies = { "@a/b-linux-x64-musl": "1.0.0", "@a/b-win32-arm64-msvc": "1.0.0", "@a/c": "2.0.0" };
    const lock = { packages: { "node_modules/a": { dev: true, optionalDependencies }, "node_modules/@a/c": {} } };
    expect(Object.fromEntries(findMissing(lock))).toEqual({
      "@a/b-linux-x64-musl": {
        version: "1.0.0",
        cpu: ["x64"],
        dev: true,
        libc: ["musl"],
        optional: true,
        os: ["linux"],
      },
      "@a/b-win32-arm64-msvc": { version: "1.0.0", cpu: ["arm64"], dev: true, optional: true, os: ["win32"] },
    });
  });
});

describe("countTests", () => {
  const report = (...files: [status: string, tests: string[]][]) =>
    JSON.stringify({
      numPassedTests: 3,
      numPendingTests: 1,
      numTodoTests: 1,
      testResults: files.map(([status, tests]) => ({
        status,
        assertionResults: tests.map((result) => ({ status: result })),
      })),
    });

  it("counts tests, files that could not be run, and failures outside of tests", () => {
    const rest = { passed: 3, skipped: 2 };
    expect(countTests(report(["passed", ["passed"]]), true)).toEqual({ ...rest, failed: 0 });
    expect(countTests(report(["failed", ["failed", "failed"]], ["failed", []]), false)).toEqual({ ...rest, failed: 3 });
    expect(countTests(report(["passed", ["passed"]]), false)).toEqual({ ...rest, failed: 1 });
    expect(countTests("", false)).toEqual({ passed: 0, failed: 1, skipped: 0 });
  });
});
