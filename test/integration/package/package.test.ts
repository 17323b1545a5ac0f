import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runProgram } from "../../support/childProcess.js";

const CONSUMER = `
import { credentials } from "@grpc/grpc-js";
import { createLogger, type Logger, PermissionClient, PermissionRelay, type RelaySocket, SquelchError } from "squelch-ptt/router";
import { ChannelStateManager, PermissionSyncManager } from "squelch-ptt/server";
import { ChannelService } from "squelch-ptt/v1/channel_service";

const logger: Logger = createLogger("consumer", "silent");
export const client = new PermissionClient({ address: "127.0.0.1:1", routerId: "r", credentials: credentials.createInsecure(), logger });
try {
  new PermissionClient({} as never);
} catch (error) {
  if (error instanceof SquelchError) console.log(error.code);
}
export const relay = new PermissionRelay(client);
export const register = (socket: RelaySocket) => relay.register(socket, { eventId: "e", userId: "u" });
export const managers = [ChannelStateManager, PermissionSyncManager];
console.log(typeof client.start, managers.map(({ name }) => name).join(), ChannelService.typeName);
await client.close();
`;

let directory: string;
let files: string[];

// The package is installed from the packed file, as in the docs. The dependencies are links to those of the project, so that
// npm needs no network.
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "squelch-package-"));
  const packed = await runProgram("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", directory], {
    timeoutMs: 60_000,
  });
  const [{ filename, files: entries }] = JSON.parse(packed) as [{ filename: string; files: { path: string }[] }];
  files = entries.map(({ path }) => path);
  const { dependencies } = JSON.parse(await readFile("package.json", "utf8"));
  for (const name of Object.keys(dependencies)) await link(name);
  await writeFile(join(directory, "package.json"), '{ "type": "module" }');
  const install = ["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", `./${filename}`];
  await runProgram("npm", install, { cwd: directory, timeoutMs: 60_000 });
  // npm removes packages that nothing depends on.
  await link("@types/node");
}, 120_000);
afterAll(() => rm(directory, { recursive: true }));

async function link(name: string): Promise<void> {
  const target = join(directory, "node_modules", name);
  await mkdir(join(target, ".."), { recursive: true });
  await symlink(resolve("node_modules", name), target);
}

it("has the program, the contract, the scripts and the console, and no more", () => {
  const folders = new Set(files.map((path) => path.replace(/^(dist\/src\/\w+|[^/]+\/?[^/]*).*$/, "$1")));
  expect([...folders].sort()).toEqual(
    [
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "bin/squelch",
      "dist/console",
      "dist/gen",
      ...["cli", "domain", "engine", "lib", "router", "server", "wire"].map((name) => `dist/src/${name}`),
      "package.json",
      "proto/squelch",
    ].sort(),
  );
  expect(files).toContain("dist/src/engine/redis/lua/floor/start-ptt-8.lua");
  expect(files.filter((path) => path.endsWith(".map") || path.includes("test"))).toEqual([]);
});

it("can be imported by the names in exports, with types", async () => {
  await writeFile(join(directory, "consumer.ts"), CONSUMER);
  const compile = ["--strict", "--module", "nodenext", "--target", "es2023", "--lib", "es2023", "--types", "node"];
  const tsc = resolve("node_modules/typescript/bin/tsc");
  await runProgram(process.execPath, [tsc, ...compile, "--skipLibCheck", "consumer.ts"], {
    cwd: directory,
    timeoutMs: 60_000,
  });
  const printed = await runProgram(process.execPath, ["consumer.js"], { cwd: directory, timeoutMs: 20_000 });
  expect(printed).toBe(
    "invalidArgument\nfunction ChannelStateManager,PermissionSyncManager squelch.v1.ChannelService\n",
  );
  const version = await runProgram("node_modules/.bin/squelch", ["--version"], { cwd: directory });
  expect(version).toMatch(/^\d+\.\d+\.\d+\n$/);
}, 80_000);
