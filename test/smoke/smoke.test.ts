import { afterAll, beforeAll, expect, it } from "vitest";
import { endChild, runProgram, startChild } from "../support/childProcess.js";
import { collectLines } from "../support/collectLines.js";
import { type SquelchProcess, spawnSquelch } from "../support/startSquelch.js";
import { waitFor } from "../support/waitFor.js";

// The built program, run by the Node.js that runs this test: continuous integration does so with each supported version.

let replica: SquelchProcess;
beforeAll(async () => {
  replica = await spawnSquelch();
});
afterAll(() => replica?.stop());

function squelch(...args: string[]): Promise<string> {
  return runProgram(process.execPath, ["bin/squelch", ...args, "--address", replica.grpcAddress]);
}

it(`the demo delivers a grant, a press, a pause and a revocation to the clients (Node.js ${process.version})`, async () => {
  const output = await runProgram(process.execPath, ["bin/squelch", "demo"], { timeoutMs: 30_000 });
  for (const step of ["grant", "speech", "pause", "refusal", "resume", "revocation"]) {
    expect(output).toMatch(new RegExp(`^${step} +\\d+\\.\\d ms `, "m"));
  }
  expect(output).toContain("No client had to reconnect.");
});

it("a watch shows an assignment, and a pause holds until it is lifted", async () => {
  const args = ["bin/squelch", "watch", "festival", "--json", "--address", replica.grpcAddress];
  const watch = await startChild(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const lines = collectLines(watch.stdout);
    await waitFor(() => lines.some((line) => line.includes("snapshot")));
    await squelch("assign", "festival", "anna", "stage");
    await waitFor(() => lines.some((line) => line.includes("stage") && line.includes("anna")));
    await squelch("pause", "festival");
    await expect(squelch("pause", "festival")).rejects.toThrow(/festival/);
    await squelch("resume", "festival");
  } finally {
    await endChild(watch, "SIGTERM");
  }
});

it("the console is served with its files", async () => {
  const page = await (await fetch(`http://${replica.httpAddress}/`)).text();
  const files = [...page.matchAll(/(?:src|href)="\.(\/assets\/[^"]+)"/g)].map(([, path = ""]) => path);
  expect(files.length).toBeGreaterThan(0);
  for (const path of files) {
    const answer = await fetch(`http://${replica.httpAddress}${path}`);
    expect([answer.status, (await answer.text()).length > 0], path).toEqual([200, true]);
  }
});
