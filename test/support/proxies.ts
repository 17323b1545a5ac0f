import { type ChildProcess, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { endChild, findFreePort, isRunning, startChild } from "./childProcess.js";
import { collectLines } from "./collectLines.js";
import { read } from "./pages.js";
import { HAPROXY, NGINX } from "./systemPackages.js";
import { waitFor } from "./waitFor.js";

/** How long the proxies of the tests wait for a silent replica, ms. In the examples it is 75 s. */
export const READ_TIMEOUT_MS = 3_000;

const CERTIFICATE = resolve("test/support/tls/server.crt");
const KEY = resolve("test/support/tls/server.key");

/** A proxy with the configuration in docs/operations.md. */
export interface RunningProxy {
  /** host:port for gRPC, over TLS. */
  readonly grpcAddress: string;
  /** host:port for the console and its calls, over TLS. */
  readonly httpAddress: string;
  /** Ends it and removes its files. Idempotent. */
  stop(): Promise<void>;
}

/** The example of a proxy in docs/operations.md, by the language of its block. */
export function exampleOf(language: string): string {
  const [, block] = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "ms").exec(read("docs/operations.md")) ?? [];
  if (block === undefined) throw new Error(`docs/operations.md has no example in ${language}`);
  return block;
}

/** The addresses of a replica and of a proxy before it. */
interface Addresses {
  replica: { grpcAddress: string; httpAddress: string };
  grpcPort: number;
  httpPort: number;
}

// Only addresses, files and times differ from the page.
function adapt(example: string, replacements: readonly (readonly [from: string, to: string])[]): string {
  let text = example;
  for (const [from, to] of replacements) {
    if (!text.includes(from)) throw new Error(`the example has no ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

function nginxConfig(folder: string, { replica, grpcPort, httpPort }: Addresses): string {
  const servers = adapt(exampleOf("nginx"), [
    ["127.0.0.1:50051", replica.grpcAddress],
    ["127.0.0.1:8080", replica.httpAddress],
    ["listen 8443", `listen 127.0.0.1:${grpcPort}`],
    ["listen 443", `listen 127.0.0.1:${httpPort}`],
    ["/etc/nginx/squelch.crt", CERTIFICATE],
    ["/etc/nginx/squelch.key", KEY],
    ["75s", `${READ_TIMEOUT_MS}ms`],
  ]);
  return wholeNginxConfig(folder, servers);
}

function bareNginxConfig(folder: string, { replica, grpcPort, httpPort }: Addresses): string {
  const server = (listen: string, pass: string) => `server { listen 127.0.0.1:${listen}; location / { ${pass}; } }`;
  const servers = [
    server(`${grpcPort} http2`, `grpc_pass grpc://${replica.grpcAddress}`),
    server(`${httpPort}`, `proxy_pass http://${replica.httpAddress}`),
  ];
  return wholeNginxConfig(folder, servers.join("\n"));
}

function wholeNginxConfig(folder: string, servers: string): string {
  const kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const paths = kinds.map((kind) => `${kind}_temp_path ${folder}/${kind};`);
  return [
    "daemon off; master_process off; worker_processes 1; error_log stderr;",
    `pid ${folder}/pid; events { worker_connections 256; }`,
    `http { access_log off; ${paths.join(" ")}`,
    servers,
    "}",
  ].join("\n");
}

function haproxyConfig(folder: string, { replica, grpcPort, httpPort }: Addresses): string {
  const pem = join(folder, "squelch.pem");
  writeFileSync(pem, readFileSync(CERTIFICATE, "utf8") + readFileSync(KEY, "utf8"));
  return adapt(exampleOf("haproxy"), [
    ["127.0.0.1:50051", replica.grpcAddress],
    ["127.0.0.1:8080", replica.httpAddress],
    ["check port 8080", `check port ${replica.httpAddress.split(":")[1]}`],
    ["0.0.0.0:8443", `127.0.0.1:${grpcPort}`],
    ["0.0.0.0:443", `127.0.0.1:${httpPort}`],
    ["/etc/haproxy/squelch.pem", pem],
    ["75s", `${READ_TIMEOUT_MS}ms`],
  ]);
}

function nginxArgs(path: string): string[] {
  return ["-p", dirname(path), "-c", path];
}

const PROGRAMS = {
  nginx: { config: nginxConfig, program: NGINX, args: nginxArgs },
  /** A configuration with only the address of the proxy and that of the replica, without TLS. */
  bareNginx: { config: bareNginxConfig, program: NGINX, args: nginxArgs },
  haproxy: { config: haproxyConfig, program: HAPROXY, args: (path: string) => ["-db", "-f", path] },
};

/** Starts a proxy before a replica. Resolves when it accepts connections. Rejects if it refuses the example. */
export async function startProxy(name: keyof typeof PROGRAMS, replica: Addresses["replica"]): Promise<RunningProxy> {
  const folder = mkdtempSync(join(tmpdir(), `squelch-${name}-`));
  const addresses = { replica, grpcPort: await findFreePort(), httpPort: await findFreePort() };
  const { config, program, args } = PROGRAMS[name];
  const path = join(folder, "proxy.conf");
  writeFileSync(path, config(folder, addresses));
  let child: ChildProcess | undefined;
  const stop = async () => {
    if (child !== undefined) await endChild(child, "SIGTERM");
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    if (name === "haproxy") execFileSync(program, ["-c", "-f", path], { stdio: "pipe" });
    child = await startChild(program, args(path), { stdio: ["ignore", "pipe", "pipe"] });
    const said = [collectLines(child.stdout), collectLines(child.stderr)];
    for (const port of [addresses.grpcPort, addresses.httpPort]) {
      await waitFor(
        () => {
          if (!isRunning(child as ChildProcess)) throw new Error(`${name} ended at once:\n${said.flat().join("\n")}`);
          return isListening(port);
        },
        { message: () => `${name} to listen:\n${said.flat().join("\n")}` },
      );
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    grpcAddress: `localhost:${addresses.grpcPort}`,
    httpAddress: `localhost:${addresses.httpPort}`,
    stop,
  };
}

function isListening(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      done(true);
    });
    socket.on("error", () => done(false));
  });
}
