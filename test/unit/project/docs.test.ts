import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { FloorDenyCause, FloorRevokeCause } from "../../../gen/squelch/v1/model_pb.js";
import { SnapshotReason } from "../../../gen/squelch/v1/permission_service_pb.js";
import { addRouterCommand } from "../../../src/cli/commands/programs/router.js";
import type { CommandContext } from "../../../src/cli/context.js";
import { ERROR_REASONS } from "../../../src/domain/errorReasons.js";
import * as keys from "../../../src/engine/redis/keys.js";
import { CONFIG_OPTIONS } from "../../../src/server/configOptions.js";
import { services } from "../../../src/server/contract.js";
import type { Hub } from "../../../src/server/feed/hub.js";
import { implementCalls } from "../../../src/server/rpc/services.js";
import { codes } from "../../../src/server/rpc/status.js";
import { read, rowsUnder, unquote, withoutCode } from "../../support/pages.js";

const PAGES = [
  "README.md",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  ...readdirSync("docs", { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

/** The names that an options interface declares. */
function optionsOf(path: string, name: string): string[] {
  const [, body = ""] = new RegExp(`^export interface ${name} .*?\\{$(.*?)^\\}$`, "ms").exec(read(path)) ?? [];
  return [...body.matchAll(/^ {2}(\w+)\??:/gm)].map(([, option = ""]) => option);
}

const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, "")
    .replaceAll(" ", "-");
const anchorsOf = (page: string) =>
  [...withoutCode(read(page)).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => anchorOf(heading));

describe("docs/configuration.md", () => {
  const page = "docs/configuration.md";

  it("lists every option of squelch serve like the program", () => {
    expect(rowsUnder(page, "## `squelch serve`")).toEqual(
      CONFIG_OPTIONS.map(({ flag, env, defaultText, description }) => [
        `\`${flag}\``,
        `\`${env}\``,
        defaultText,
        description,
      ]),
    );
  });

  it("lists every option of squelch router", () => {
    const program = new Command();
    addRouterCommand(program, {} as CommandContext);
    const options = program.commands[0]?.options ?? [];
    expect(rowsUnder(page, "## `squelch router`").map(([flag = ""]) => unquote(flag))).toEqual(
      options.map(({ long }) => long),
    );
  });

  it.each([
    ["## Library: `squelch-ptt/router`", "src/router/client/permissionClient.ts", "PermissionClientOptions"],
    ["## Library: `squelch-ptt/router`", "src/router/relay/permissionRelay.ts", "PermissionRelayOptions"],
    ["## Library: `squelch-ptt/router`", "src/router/client/channelClient.ts", "ChannelClientOptions"],
    ["## Library: `squelch-ptt/router`", "src/router/reference/options.ts", "ReferenceRouterOptions"],
    ["## Library: `squelch-ptt/server`", "src/server/state/channelState.ts", "ChannelStateOptions"],
  ])("lists under %s the options of %s", (heading, path, name) => {
    const options = optionsOf(path, name);
    expect(options).not.toEqual([]);
    expect(rowsUnder(page, heading).map(([option = ""]) => unquote(option))).toEqual(expect.arrayContaining(options));
  });
});

describe("docs/errors.md", () => {
  const page = "docs/errors.md";

  it("lists every code with the status that the program gives it, a meaning and what to do", () => {
    const rows = rowsUnder(page, "## Codes").filter((cells) => cells.length === 4);
    expect(rows.map(([code = "", name = ""]) => [unquote(code), unquote(name)])).toEqual(
      Object.entries(codes).map(([code, number]) => [code, status[number]]),
    );
    for (const cells of rows) expect(cells).not.toContain("");
  });

  it("lists every reason with its status and its metadata", () => {
    expect(rowsUnder(page, "## Reasons").map((cells) => cells.slice(0, 3))).toEqual(
      Object.entries(ERROR_REASONS).map(([reason, { code, metadata }]) => [
        `\`${reason}\``,
        `\`${status[codes[code]]}\``,
        metadata.length === 0 ? "none" : metadata.map((key) => `\`${key}\``).join(", "),
      ]),
    );
  });

  it("gives for every ending of a stream one action: resume, retry later or give up", () => {
    const rows = rowsUnder(page, "## How a watch ends");
    for (const [ending, , action] of rows) {
      expect(["resume", "retry later", "give up"], ending).toContain(action);
    }
    // A watch looks nothing up, so NOT_FOUND cannot happen. No state forbids a watch, so FAILED_PRECONDITION cannot happen.
    const { notFound, failedPrecondition, ...ofStreams } = codes;
    expect([notFound, failedPrecondition]).toEqual([status.NOT_FOUND, status.FAILED_PRECONDITION]);
    const endings = rows.map(([ending = ""]) => unquote(ending));
    expect(endings).toEqual(expect.arrayContaining(Object.values(ofStreams).map((code) => status[code])));
    for (const ending of ["OK", "INTERNAL", "CANCELLED", "DEADLINE_EXCEEDED"]) expect(endings).toContain(ending);
  });

  it.each([
    ["## Denials of the floor", "FLOOR_DENY_CAUSE_", FloorDenyCause],
    ["## Floors taken away", "FLOOR_REVOKE_CAUSE_", FloorRevokeCause],
  ] as const)("gives the causes under %s their numbers in the contract", (heading, prefix, causes) => {
    for (const [cause = "", number] of rowsUnder(page, heading)) {
      const name = unquote(cause).replace(prefix, "");
      expect([cause, String(causes[name as keyof typeof causes])]).toEqual([cause, number]);
    }
  });
});

describe("docs/protocol.md", () => {
  const page = "docs/protocol.md";

  it("lists every call, and whether it is served", () => {
    const limits = { maxTalkTimeMs: 0, floorQueueLimit: 0, membershipCheck: true };
    const served = implementCalls({} as Hub, undefined, limits);
    expect(rowsUnder(page, "## Calls").map((cells) => cells.slice(0, 3).map(unquote))).toEqual(
      services.flatMap(({ name, methods }: DescService) =>
        methods.map((method) => [name, method.name, served.has(method) ? "yes" : "no"]),
      ),
    );
  });

  it("lists every reason of a snapshot", () => {
    const sent = Object.keys(SnapshotReason).filter((name) => /^[A-Z]/.test(name) && name !== "UNSPECIFIED");
    expect(rowsUnder(page, "### Snapshots").map(([reason = ""]) => unquote(reason))).toEqual(
      sent.map((name) => `SNAPSHOT_REASON_${name}`),
    );
  });

  it("lists every name in Redis", () => {
    const { changes, applied, floor, pauseAnswer, ...eventKeys } = keys.eventKeys("E");
    const listed = (heading: string) => new Set(rowsUnder(page, heading).map(([name = ""]) => unquote(name)));
    expect(listed("### Keys")).toEqual(
      new Set([
        ...Object.values(eventKeys),
        pauseAnswer("<request id>"),
        keys.REPLICAS,
        keys.EVENTS,
        keys.INGEST_GENERATION,
        keys.INGEST_APPLIED,
        keys.probeKey("<number>"),
        keys.AUDIT,
        keys.FLEET_AUDIT,
        keys.actorAudit("<actor id>"),
        keys.assignedChannelsKey("<user id>"),
        keys.CHANNEL_EVENTS,
        keys.CHANNEL_MOVES,
        keys.speakerKey(keys.layouts.legacy, "E", "<channel id>"),
        keys.speakerKey(keys.layouts.cluster, "E", "<channel id>"),
        keys.layouts.cluster.owners("E"),
        keys.layouts.cluster.generation("E"),
        ...Object.values(keys.layouts).flatMap((layout) => {
          const { banned, banPrefix } = layout.bans("E");
          return [banned, `${banPrefix}<user id>`];
        }),
      ]),
    );
    expect(listed("### Pub/sub channels")).toEqual(
      new Set([
        keys.MEMBERSHIP_UPDATES,
        keys.stateChannel("<channel id>"),
        changes,
        applied,
        floor,
        keys.NEW_EVENTS,
        keys.PAUSES,
        keys.INGEST,
        ...Object.values(keys.layouts).map((layout) => layout.bans("E").banNews),
      ]),
    );
  });
});

describe("docs/architecture.md", () => {
  it("lists every script with the number of its keys", () => {
    const rows = rowsUnder("docs/architecture.md", "## Floor and pause");
    const scripts = readdirSync("src/engine/redis/lua", { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".lua") && !name.startsWith("shared/"))
      .map((name) => basename(name));
    expect(new Set(rows.map(([name = "", count]) => `${unquote(name)}-${count}.lua`))).toEqual(new Set(scripts));
  });
});

describe("docs/operations.md", () => {
  const page = "docs/operations.md";
  const metrics = rowsUnder(page, "## Metrics").map(([name = ""]) => unquote(name));
  const rules = parse(read("deploy/prometheus/alerts.yaml")) as {
    groups: { rules: { alert: string; expr: string; labels: { severity: string } }[] }[];
  };
  const alerts = rules.groups.flatMap((group) => group.rules);
  // Queries name the parts of a histogram.
  const metricsIn = (text: string) =>
    [...text.matchAll(/\bsquelch_\w+/g)].map(([name]) => name.replace(/_(bucket|count|sum)$/, ""));

  it("quotes only log messages that the program has", () => {
    const [, faults = ""] = read(page).split("\n## Faults\n");
    const quoted = [...faults.matchAll(/`"([^"`]+)"`/g)].map(([, message = ""]) => message);
    expect(quoted.length).toBeGreaterThan(10);
    const sources = readdirSync("src", { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => read(`src/${name}`))
      .join();
    expect(quoted.filter((message) => !sources.includes(`"${message}"`))).toEqual([]);
  });

  it("names only metrics that it lists, and so do the alerts and the dashboard", () => {
    const { panels } = JSON.parse(read("deploy/grafana/squelch.json")) as {
      panels: { targets?: { expr: string }[] }[];
    };
    const queries = panels.flatMap(({ targets = [] }) => targets);
    expect(queries.length).toBeGreaterThan(20);
    for (const text of [read(page), ...[...alerts, ...queries].map(({ expr }) => expr)]) {
      for (const name of metricsIn(text)) expect(metrics).toContain(name);
    }
  });

  it("lists every alert with its severity", () => {
    expect(rowsUnder(page, "## Alerts").map(([name = "", severity]) => [unquote(name), severity])).toEqual(
      alerts.map(({ alert, labels }) => [alert, labels.severity]),
    );
  });
});

describe.each(PAGES)("%s", (page) => {
  it("links only to what exists", () => {
    const links = [...withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = ""]) => link);
    for (const link of links.filter((target) => !target.startsWith("https://"))) {
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? page : join(dirname(page), path);
      expect(existsSync(target), link).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(target), link).toContain(anchor);
    }
  });

  it("names only files and folders that exist", () => {
    const paths = [...read(page).matchAll(/`((?:bin|deploy|docs|gen|proto|scripts|src|test)(?:\/[\w./-]+)?)`/g)];
    for (const [, path = ""] of paths) {
      if (path !== "src/engine/redis/lua/shared/name.lua") expect(existsSync(path), path).toBe(true);
    }
  });
});
