import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { status } from "@grpc/grpc-js";
import { describe, expect, it, onTestFinished } from "vitest";
import { findFreePort } from "../../support/childProcess.js";
import { FakeFailure, startFakeService } from "../../support/fakes/fakeService.js";
import { runCli } from "../../support/runCli.js";

describe("G9: a command that fails prints one line with a remedy, and exits with 1", () => {
  it("no program listens", async () => {
    const address = `127.0.0.1:${await findFreePort()}`;
    const remedy = 'is a replica running? start one with "squelch serve" or name it with --address';
    for (const argv of [["speakers", "e1"], ["watch"], ["status"], ["permissions", "e1"], ["assign", "e1", "u1"]]) {
      expect(await runCli([...argv, "--address", address])).toEqual({
        exitCode: 1,
        stdout: "",
        stderr: `squelch: cannot reach ${address}: connection refused; ${remedy}\n`,
      });
    }
  });

  it("no such host", async () => {
    const { exitCode, stderr } = await runCli(["speakers", "e1", "--address", "replica.invalid:50051"]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^squelch: cannot reach replica\.invalid:50051: (no such host|the name could not)[^\n]+\n$/);
  });

  it("the address belongs to another service", async () => {
    const server = createHttpServer((_request, response) => response.end("hello")).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { exitCode, stderr } = await runCli(["speakers", "e1", "--address", address]);
    expect([exitCode, stderr]).toEqual([
      1,
      `squelch: ${address} does not speak gRPC; name the gRPC address of a replica with --address\n`,
    ]);
  });

  it("the address accepts and stays silent", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    const sockets = new Set<{ destroy(): void }>();
    server.on("connection", (socket) => sockets.add(socket));
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    await once(server, "listening");
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { exitCode, stderr } = await runCli(["status", "--address", address, "--timeout", "200ms"]);
    expect([exitCode, stderr]).toEqual([
      1,
      `squelch: no answer from ${address} within 200ms; allow more time with --timeout\n`,
    ]);
  });

  const lines: [keyof typeof status, string, string][] = [
    ["INVALID_ARGUMENT", "event_id: must not be empty", "event_id: must not be empty"],
    ["NOT_FOUND", "no such channel", "no such channel"],
    ["FAILED_PRECONDITION", "pause p2 stands", "pause p2 stands"],
    ["UNAVAILABLE", "Redis is away", "ADDRESS is unavailable: Redis is away; try again"],
    ["RESOURCE_EXHAUSTED", "too big", "ADDRESS refuses for now: too big; try again later"],
    ["PERMISSION_DENIED", "not yours", "ADDRESS does not permit this: not yours"],
    ["UNAUTHENTICATED", "no token", "ADDRESS does not permit this: no token"],
    ["INTERNAL", "broken\nbadly", "ADDRESS failed: broken; badly; see its log for details"],
    ["CANCELLED", "gone", "the connection to ADDRESS was lost: gone; try again"],
  ];
  it.each(lines)("%s", async (code, details, line) => {
    const service = await startFakeService({
      getEventActiveSpeakers: () => {
        throw new FakeFailure(status[code] as status, details);
      },
    });
    onTestFinished(service.close);
    expect(await runCli(["speakers", "e1", "--address", service.address])).toEqual({
      exitCode: 1,
      stdout: "",
      stderr: `squelch: ${line.replace("ADDRESS", service.address)}\n`,
    });
  });

  it("UNIMPLEMENTED", async () => {
    const service = await startFakeService({});
    onTestFinished(service.close);
    const { exitCode, stderr } = await runCli(["speakers", "e1", "--address", service.address]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^squelch: \S+ cannot do this: [^\n]+; is it a replica of this version of Squelch\?\n$/);
  });
});

describe("a misuse prints one line and exits with 2", () => {
  it.each([
    [["nonsense"], `unknown command 'nonsense'; see "squelch --help"`],
    [["wach"], `unknown command 'wach'; (Did you mean watch?); see "squelch --help"`],
    [["speakers"], `missing required argument 'event'; see "squelch speakers --help"`],
    [["speakers", "e1", "e2"], /^too many arguments for 'speakers'.*; see "squelch speakers --help"$/],
    [["assign", "e1"], `missing required argument 'user'; see "squelch assign --help"`],
    [["watch", "--frob"], `unknown option '--frob'; see "squelch watch --help"`],
    [["pause", "e1", "--duration", "60"], /^option '--duration <time>' argument '60' is invalid\. .*60s.*--help"$/],
    [["speakers", "e1", "--timeout", "0"], /^option '--timeout <time>' argument '0' is invalid\. It must be above 0/],
    [
      ["speakers", "e1", "--address", "nohost"],
      `"nohost" is not a valid address; write host:port, for example 127.0.0.1:50051`,
    ],
    [["speakers", "e1", "--address", "http://h:1"], /^"http:\/\/h:1" is not a valid address/],
    [["speakers", "e1", "--address", "a:1,b:2"], /^"a:1,b:2" is not a valid address/],
    [["speakers", "e1", "--address", "h:65536"], /is not a valid address/],
    [
      ["speakers", "e1", "--token", "se\ncret"],
      "the token is empty, or has spaces, line breaks or non-ASCII characters",
    ],
    [["router"], "the secret for the tokens of clients is missing; give --jwt-secret or SQUELCH_JWT_SECRET"],
    [["router", "--jwt-secret", "s", "--cut", "never"], /^option '--cut <when>' argument 'never' is invalid/],
  ] as const)("squelch %j", async (argv, line) => {
    const { exitCode, stdout, stderr } = await runCli(argv);
    expect([exitCode, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^squelch: [^\n]+\n$/);
    if (typeof line === "string") expect(stderr).toBe(`squelch: ${line}\n`);
    else expect(stderr.slice("squelch: ".length, -1)).toMatch(line);
  });

  it("no command at all: the help on stderr", async () => {
    const { exitCode, stdout, stderr } = await runCli([]);
    expect([exitCode, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("Usage: squelch");
  });

  it("all invalid options of a server at once", async () => {
    const { exitCode, stderr } = await runCli(["serve", "--grpc-address", "nowhere"], { SQUELCH_LOG_LEVEL: "shout" });
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^squelch: [^\n]+\n$/);
    expect(stderr).toMatch(/nowhere|grpc/i);
    expect(stderr).toMatch(/shout|log/i);
  });
});

describe("help", () => {
  it("has every command, examples and exit codes, and exits with 0", async () => {
    const { exitCode, stdout, stderr } = await runCli(["--help"]);
    expect([exitCode, stderr]).toEqual([0, ""]);
    for (const name of [
      "serve",
      "router",
      "demo",
      "status",
      "watch",
      "permissions",
      "channels",
      "speakers",
      "bans",
      "assign",
      "sync",
      "pause",
      "resume",
      "disconnect",
      "ban",
      "unban",
    ]) {
      expect(stdout).toMatch(new RegExp(`^ {2}${name} `, "m"));
      const help = await runCli([name, "--help"]);
      expect([help.exitCode, help.stderr]).toEqual([0, ""]);
      expect(help.stdout).toMatch(new RegExp(`^Usage: squelch ${name}`));
    }
    expect(stdout).toContain("Exit codes: 0 done, 1 failed, 2 misused.");
    expect(stdout).toContain("squelch demo");
  });

  it("prints the version", async () => {
    const { exitCode, stdout } = await runCli(["--version"]);
    expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+\n$/)]);
  });
});
