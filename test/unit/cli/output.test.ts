import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { Output, printable } from "../../../src/cli/output/output.js";

function terminal(env: NodeJS.ProcessEnv, isTTY = true) {
  const stdout = Object.assign(new PassThrough(), { isTTY });
  return { output: new Output(stdout, env), read: () => String(stdout.read() ?? "") };
}

describe("what is printed for people", () => {
  it("aligns columns without lines, wide characters too", async () => {
    const { output, read } = terminal({}, false);
    await output.table(
      ["USER", "CHANNELS"],
      [
        ["anna", "stage, gate"],
        ["田中", "-"],
      ],
    );
    expect(read()).toBe(["USER  CHANNELS", "anna  stage, gate", "田中  -", ""].join("\n"));
  });

  it("has colours only on a terminal, and none with NO_COLOR", async () => {
    for (const [env, isTTY, coloured] of [
      [{}, true, true],
      [{ NO_COLOR: "1" }, true, false],
      [{ NO_COLOR: "" }, true, true],
      [{ TERM: "dumb" }, true, false],
      [{}, false, false],
    ] as const) {
      const { output, read } = terminal(env, isTTY);
      await output.table(["USER"], [["anna"]]);
      expect(read().includes("\u001b[")).toBe(coloured);
    }
  });

  it("escapes characters that could control the terminal", async () => {
    const { output, read } = terminal({}, false);
    await output.table(["REASON"], [["a\u001b[2Jb\nc\u202ed"]]);
    expect(read()).toBe("REASON\na\\u001b[2Jb\\u000ac\\u202ed\n");
    expect(printable("Zoë 👩‍🚒 stage-1")).toBe("Zoë 👩‍🚒 stage-1");
  });

  it("waits for a slow reader instead of storing everything", async () => {
    const stdout = new PassThrough({ highWaterMark: 16 });
    const output = new Output(stdout, {});
    let written = 0;
    const writing = (async () => {
      for (; written < 10; written += 1) await output.line("0123456789abcdef");
    })();
    await new Promise((resolve) => setImmediate(resolve));
    expect(written).toBeLessThan(10);
    stdout.resume();
    await writing;
    expect(written).toBe(10);
  });
});
