import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { WebSocket } from "ws";
import { endChild, findFreePort, runProgram, startChild } from "../../support/childProcess.js";
import { collectLines } from "../../support/collectLines.js";
import { waitFor } from "../../support/waitFor.js";

/** Commands that take long or need the network. Their own tests and .ci/run cover them. */
const NOT_RUN = ["npm ci && npm run demo", "npm ci && npm test", "npm pack", "npm install ./squelch-ptt-0.1.0.tgz"];
const PORTS = ["6379", "50051", "50052", "8080", "8081", "8090", "8091"];

interface PageCommand {
  text: string;
  /** Returns the lines that the page shows below the command. */
  output: string[];
}

const page = await readFile("README.md", "utf8");
const teardowns: (() => unknown)[] = [];
const ports = new Map<string, number>();
const env: NodeJS.ProcessEnv = { ...process.env };
let directory: string;

// A folder within the project, so that the example finds the package by its name.
beforeAll(async () => {
  directory = await mkdtemp(join("test", "readme-"));
  teardowns.push(() => rm(directory, { recursive: true }));
  await symlink(resolve("bin"), join(directory, "bin"));
  for (const port of PORTS) ports.set(port, await findFreePort());
  env.SQUELCH_ADDRESS = withPorts("127.0.0.1:50051");
  env.SQUELCH_GRPC_ADDRESS = withPorts("127.0.0.1:50051");
  env.SQUELCH_HTTP_ADDRESS = withPorts("127.0.0.1:8080");
});
afterAll(async () => {
  for (const teardown of teardowns.reverse()) await teardown();
});

function withPorts(text: string): string {
  return text
    .replace(/(?<=127\.0\.0\.1:|port: )\d{4,5}/g, (port) => String(ports.get(port) ?? port))
    .replace(/^redis-server/, `redis-server --bind 127.0.0.1 --port ${ports.get("6379")}`)
    .replace(/^redis-cli/, `redis-cli -p ${ports.get("6379")}`);
}

/** The commands of the page in order, each with the output that the page shows for it. */
function commandsOf(text: string): PageCommand[] {
  return [...text.matchAll(/^```console\n(.*?)^```$/gms)].flatMap(([, block = ""]) =>
    block
      .replaceAll("\\\n", "")
      .split(/^\$ /m)
      .slice(1)
      .map((part) => part.trimEnd().split("\n"))
      .map(([command = "", ...output]) => ({ text: command.replace(/ +/g, " "), output })),
  );
}

/** Replaces the parts of lines that differ in each run: times, ids, numbers, the host and the widths of columns. */
function shapeOf(lines: readonly string[]): string[] {
  return lines.map((line) =>
    line
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, "TIME")
      .replace(/[\da-f]{8}-[\da-f-]{27}/g, "ID")
      .replace(/[\w.-]+:\d+(?= )/g, "HOST:PORT")
      .replace(/^\S+-[\da-f]{6}(?= )/, "REPLICA")
      .replace(/\d+(\.\d+)?/g, "N")
      .replace(/ +/g, " ")
      .trimEnd(),
  );
}

async function run(command: string): Promise<string[]> {
  const stdout = await runProgram("bash", ["-ec", withPorts(command)], { cwd: directory, env, timeoutMs: 20_000 });
  return stdout.split("\n").slice(0, -1);
}

async function startProgram(command: string): Promise<string[]> {
  // The shell becomes the program, so that a signal reaches it.
  const text = withPorts(command.replace("npx tsx", `${process.execPath} --import tsx`));
  const child = await startChild("bash", ["-c", text.replace(/^((?:\w+="[^"]*" )*)/, "$1exec ")], {
    cwd: directory,
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  teardowns.push(() => endChild(child, "SIGKILL"));
  return collectLines(child.stdout);
}

const isListening = (port: string) =>
  new Promise<boolean>((done) => {
    const socket = connect({ host: "127.0.0.1", port: ports.get(port) ?? 0 }, () => {
      socket.destroy();
      done(true);
    });
    socket.on("error", () => done(false));
  });

/** The commands of the page that keep running, by their first words, with the port that shows that they have started. */
const PROGRAMS: [beginning: string, port: string | undefined][] = [
  ["redis-server", "6379"],
  ["bin/squelch serve --redis-url redis://127.0.0.1:6379 --token-secret-file secret --grpc-address", "50052"],
  ["bin/squelch serve", "50051"],
  ["SQUELCH_JWT_SECRET=", "8090"],
  ["bin/squelch watch", undefined],
  ["npx tsx router.mts", "8091"],
];

it("every command of the README works in its order, and prints what the page shows", async () => {
  const [, sample = ""] = /```ts\n([\s\S]*?)```/.exec(page) ?? [];
  await writeFile(join(directory, "router.mts"), withPorts(sample));
  const commands = commandsOf(page).filter(({ text }) => !NOT_RUN.includes(text));
  expect(commands.length).toBeGreaterThan(12);
  let watched: string[] = [];
  for (const { text, output } of commands) {
    const program = PROGRAMS.find(([beginning]) => text.startsWith(beginning));
    if (program !== undefined) {
      const lines = await startProgram(text);
      const port = program[1];
      if (port === undefined) watched = lines;
      else await waitFor(() => isListening(port), { timeoutMs: 20_000, message: `"${text}" to listen` });
      if (port === undefined) await waitFor(() => lines.some((line) => line.includes("caught up")));
      continue;
    }
    const [, variable] = /^export (\w+)=/.exec(text) ?? [];
    if (variable !== undefined) {
      env[variable] = (await run(`${text}; printf '%s\\n' "$${variable}"`))[0];
      continue;
    }
    // Routers and replicas send their first report within seconds.
    const print = async () => shapeOf(await run(text));
    if (text.startsWith("bin/squelch status")) {
      let last: string[] = [];
      await waitFor(
        async () => {
          last = await print().catch((error: Error) => [error.message]);
          return JSON.stringify(last) === JSON.stringify(shapeOf(output));
        },
        { timeoutMs: 15_000 },
      ).catch(() => expect(last, text).toEqual(shapeOf(output)));
    } else if (text.startsWith("redis-cli")) {
      await run(text);
      await waitFor(() => watched.some((line) => line.includes("ben now has stage (+stage) by control-plane")));
      const [, shown = ""] = /`(festival #1 [^`]*)`/.exec(page) ?? [];
      expect(shapeOf(watched)).toContain(shapeOf([shown])[0]);
    } else expect(await print(), text).toEqual(shapeOf(output));
  }
}, 180_000);

it("the router of the README brings an assignment to a WebSocket", async () => {
  const frames: string[] = [];
  const socket = new WebSocket(withPorts("ws://127.0.0.1:8091/festival/carl"));
  teardowns.push(() => socket.terminate());
  socket.on("message", (frame) => frames.push(String(frame)));
  await new Promise((opened) => socket.once("open", opened));
  await run("bin/squelch assign festival carl stage");
  const frame = await waitFor(() => frames.find((text) => text.includes("permission-update")));
  expect(JSON.parse(frame)).toMatchObject({ data: { eventId: "festival", channelIds: ["stage"], added: ["stage"] } });
});

it("git ignores the files that the commands of the README create", async () => {
  for (const path of [
    "secret",
    "router.token",
    "router.mts",
    "dump.rdb",
    "appendonlydir/x.aof",
    "squelch-ptt-0.1.0.tgz",
  ]) {
    expect(await runProgram("git", ["check-ignore", path])).toBe(`${path}\n`);
  }
  expect(existsSync(join(directory, "secret"))).toBe(true);
});

it("the README shows the output of the demo", async () => {
  const [demo] = commandsOf(page).filter(({ text }) => text.endsWith("npm run demo"));
  const printed = shapeOf(await run("bin/squelch demo"));
  expect(shapeOf(demo?.output ?? [])).toEqual(printed);
}, 30_000);
