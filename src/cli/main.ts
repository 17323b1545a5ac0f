import type { Readable, Writable } from "node:stream";
import { debuglog } from "node:util";
import { Command, CommanderError, type Option } from "commander";
import { logOutput, unblockTerminal } from "../lib/logOutput.js";
import { version } from "../lib/ownPackage.js";
import { addBanCommand } from "./commands/access/ban.js";
import { addBansCommand } from "./commands/access/bans.js";
import { addDisconnectCommand } from "./commands/access/disconnect.js";
import { addUnbanCommand } from "./commands/access/unban.js";
import { addAuditCommand } from "./commands/audit.js";
import { addCompletionCommand } from "./commands/completion.js";
import { addPauseCommand } from "./commands/floor/pause.js";
import { addResumeCommand } from "./commands/floor/resume.js";
import { addSpeakersCommand } from "./commands/floor/speakers.js";
import { addAssignCommand } from "./commands/membership/assign.js";
import { addChannelsCommand } from "./commands/membership/channels.js";
import { addPermissionsCommand } from "./commands/membership/permissions.js";
import { addSyncCommand } from "./commands/membership/sync.js";
import { addDemoCommand } from "./commands/programs/demo.js";
import { addRouterCommand } from "./commands/programs/router.js";
import { addServeCommand } from "./commands/programs/serve.js";
import { addStatusCommand } from "./commands/status.js";
import { addTokenCommand } from "./commands/token.js";
import { addWatchCommand } from "./commands/watch.js";
import type { CommandContext } from "./context.js";
import { CommandFailure, describeFailure } from "./failure.js";
import { wasStopped } from "./lifetime.js";
import { Output } from "./output/output.js";

const EXAMPLES = `
Exit codes: 0 done, 1 failed, 2 misused.

Examples:
  squelch demo                           see how it works, without other programs
  squelch serve                          run a replica in memory
  squelch assign festival anna stage     allow anna to listen and speak on stage
  squelch watch festival                 see the changes arrive
  squelch pause festival --reason Fire   stop all speakers`;

/** How long a program that a signal has stopped waits until its last output is read, ms. */
const LAST_OUTPUT_MS = 500;

const debug = debuglog("squelch");

/** The streams and environment variables of one run of the program. */
export interface Streams {
  stdin: Readable;
  stdout: Writable & { isTTY?: boolean };
  stderr: Writable & { isTTY?: boolean };
  env: NodeJS.ProcessEnv;
}

/**
 * Runs the program once. Results go to stdout. A failure becomes one line on stderr; NODE_DEBUG=squelch adds its stack.
 *
 * @param argv the arguments after the program's name
 * @returns the exit code: 0 done, 1 failed, 2 misused
 */
export async function run(argv: readonly string[], { stdin, stdout, stderr, env }: Streams): Promise<number> {
  const program = createProgram({ output: new Output(stdout, env), stdin, stderr, env }, stdout, stderr);
  try {
    await program.parseAsync(argv, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    debug("%s", error instanceof Error ? error.stack : error);
    const { line, exitCode } = describeFailure(error);
    stderr.write(`squelch: ${line}\n`);
    return exitCode;
  }
}

function createProgram(context: CommandContext, stdout: Writable, stderr: Writable): Command {
  const program = new Command("squelch")
    .description("The permission and floor service of a push-to-talk fleet.")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .configureHelp({ optionDescription: describeOption })
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      // run() prints the error in one line.
      outputError: () => undefined,
    })
    .exitOverride(rethrowAsMisuse("squelch"))
    .addHelpText("after", EXAMPLES);
  program.commandsGroup("Run:");
  addServeCommand(program, context);
  addRouterCommand(program, context);
  addDemoCommand(program, context);
  addTokenCommand(program, context);
  program.commandsGroup("Look:");
  addStatusCommand(program, context);
  addWatchCommand(program, context);
  addPermissionsCommand(program, context);
  addChannelsCommand(program, context);
  addSpeakersCommand(program, context);
  addBansCommand(program, context);
  addAuditCommand(program, context);
  program.commandsGroup("Change:");
  addAssignCommand(program, context);
  addSyncCommand(program, context);
  addPauseCommand(program, context);
  addResumeCommand(program, context);
  addDisconnectCommand(program, context);
  addBanCommand(program, context);
  addUnbanCommand(program, context);
  program.commandsGroup("Help:");
  addCompletionCommand(program, context);
  for (const command of program.commands) {
    command.exitOverride(rethrowAsMisuse(`squelch ${command.name()}`));
    for (const part of command.commands) part.exitOverride(rethrowAsMisuse(`squelch ${command.name()} ${part.name()}`));
  }
  return program;
}

// Adds choices and text defaults. The descriptions of numbers, lists and switches have their defaults already.
function describeOption({ description, argChoices, defaultValue }: Option): string {
  const extras = [
    ...(argChoices ? [`choices: ${argChoices.join(", ")}`] : []),
    ...(typeof defaultValue === "string" && defaultValue !== "" ? [`default: ${defaultValue}`] : []),
  ];
  return extras.length === 0 ? description : `${description} (${extras.join("; ")})`;
}

// Help and version pass through. Every other error of commander means wrong arguments and becomes one line.
function rethrowAsMisuse(name: string): (error: CommanderError) => never {
  return (error) => {
    if (error.exitCode === 0 || error.code === "commander.help") throw error;
    throw new CommandFailure(`${error.message.replace(/^error: /, "")}; see "${name} --help"`, 2);
  };
}

/** Runs the program with the arguments and streams of this process, and ends the process. */
export async function main(): Promise<void> {
  unblockTerminal();
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // A service outlives the reader of its log.
    if (logOutput.isInUse) return;
    // The reader of a command's results has gone, as in `squelch watch | head`, or its terminal has.
    if (error.code === "EPIPE" || error.code === "EIO") process.exit(0);
    throw error;
  });
  const exitCode = await run(process.argv.slice(2), process);
  const end = () => process.exit(exitCode);
  void logOutput.written().then(() => process.stdout.write("", end));
  // A signal must not wait for a reader of stdout, which may never read.
  if (wasStopped()) setTimeout(end, LAST_OUTPUT_MS);
}
