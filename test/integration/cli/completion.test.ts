import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { runProgram } from "../../support/childProcess.js";
import { runCli } from "../../support/runCli.js";

/** Returns the completions of bash after these words. */
async function completed(...words: string[]): Promise<string[]> {
  const { stdout } = await runCli(["completion", "bash"]);
  const directory = await mkdtemp(join(tmpdir(), "squelch-completion-"));
  try {
    const script = join(directory, "completion.bash");
    await writeFile(script, stdout);
    const ask = `source "$1"; shift; COMP_WORDS=(squelch "$@"); COMP_CWORD=$#; _squelch; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const offered = await runProgram("bash", ["-c", ask, "bash", script, ...words]);
    return offered.split("\n").filter((line) => line !== "");
  } finally {
    await rm(directory, { recursive: true });
  }
}

it("offers commands, then the options of the command", async () => {
  expect(await completed("pe")).toEqual(["permissions"]);
  expect(await completed("pause", "--br")).toEqual(["--broadcaster"]);
  expect(await completed("pause", "festival", "--wa")).toEqual(["--wait"]);
  expect(await completed("sync", "festival", "mem")).toEqual([]);
});

it.each(["zsh", "fish"])("prints every command and option for %s", async (shell) => {
  const { stdout, exitCode } = await runCli(["completion", shell]);
  expect(exitCode).toBe(0);
  for (const word of ["assign", "watch", shell === "zsh" ? "--broadcaster[" : "-l broadcaster"]) {
    expect(stdout).toContain(word);
  }
});

it("refuses a shell that it does not know", async () => {
  expect(await runCli(["completion", "tcsh"])).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("Allowed choices are bash, zsh, fish"),
  });
});
