import { Readable, Writable } from "node:stream";
import { run } from "../../src/cli/main.js";

class Text extends Writable {
  text = "";

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** The output and exit code of a run of the program. */
export interface CliResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Runs the command line in this process to its end. Stderr is not a terminal unless requested. */
export async function runCli(
  argv: readonly string[],
  env: NodeJS.ProcessEnv = {},
  { stdin = "", isTTY = false }: { stdin?: string | Uint8Array; isTTY?: boolean } = {},
): Promise<CliResult> {
  const stdout = new Text();
  const stderr = Object.assign(new Text(), { isTTY });
  const exitCode = await run(argv, { stdin: Readable.from([Buffer.from(stdin)]), stdout, stderr, env });
  return { exitCode, stdout: stdout.text, stderr: stderr.text };
}

/** The JSON lines of a run that succeeded. */
export function jsonLines({ exitCode, stdout, stderr }: CliResult): unknown[] {
  if (exitCode !== 0) throw new Error(`exit code ${exitCode}: ${stderr}`);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}
