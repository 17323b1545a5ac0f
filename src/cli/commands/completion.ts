import { Argument, type Command } from "commander";
import type { CommandContext } from "../context.js";

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

/** The words that a shell can complete for one command. */
interface Words {
  name: string;
  description: string;
  flags: { long: string; description: string }[];
}

/** Adds `squelch completion SHELL`, which prints a script that completes commands and options. */
export function addCompletionCommand(program: Command, { output }: CommandContext): void {
  program
    .command("completion")
    .description("print a script that completes commands and options in a shell")
    .addArgument(new Argument("<shell>", "the shell").choices(SHELLS))
    .addHelpText(
      "after",
      "\nExamples:\n  source <(squelch completion bash)\n  squelch completion zsh > ~/.zfunc/_squelch" +
        "\n  squelch completion fish > ~/.config/fish/completions/squelch.fish",
    )
    .action((shell: Shell) => output.line(scripts[shell](program.commands.map(wordsOf))));
}

function wordsOf(command: Command): Words {
  const flags = command.options.flatMap(({ long, description }) => (long ? [{ long, description }] : []));
  const help = { long: "--help", description: "print this help" };
  return { name: command.name(), description: command.description(), flags: [...flags, help] };
}

const scripts: Record<Shell, (commands: readonly Words[]) => string> = { bash, zsh, fish };

/** Puts a text in single quotes for sh. */
const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
const namesOf = (commands: readonly Words[]) => commands.map(({ name }) => name).join(" ");
const flagsOf = ({ flags }: Words) => flags.map(({ long }) => long).join(" ");

// A word that is neither a command nor an option is completed as a file name, for `squelch sync`.
function bash(commands: readonly Words[]): string {
  return `_squelch() {
  local word="\${COMP_WORDS[COMP_CWORD]}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="${namesOf(commands)}"
  else
    case "\${COMP_WORDS[1]}" in
${commands.map((command) => `      ${command.name}) words="${flagsOf(command)}" ;;`).join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _squelch squelch`;
}

function zsh(commands: readonly Words[]): string {
  const described = ({ name, description }: Words) => quoted(`${name}:${description.replaceAll(":", "\\:")}`);
  const flag = ({ long, description }: Words["flags"][number]) => {
    const text = description.replace(/[[\]\\:]/g, "\\$&");
    return quoted(`${long}[${text}]`);
  };
  const cases = commands.map(
    ({ name, flags }) => `    ${name}) _arguments ${flags.map(flag).join(" ")} '*:file:_files' ;;`,
  );
  return `#compdef squelch
_squelch() {
  if (( CURRENT == 2 )); then
    local -a commands=(${commands.map(described).join(" ")})
    _describe command commands
    return
  fi
  local command="$words[2]"
  shift words; (( CURRENT-- ))
  case "$command" in
${cases.join("\n")}
  esac
}
if [ "$funcstack[1]" = _squelch ]; then _squelch "$@"; else compdef _squelch squelch; fi`;
}

function fish(commands: readonly Words[]): string {
  const names = namesOf(commands);
  return commands
    .flatMap(({ name, description, flags }) => [
      `complete -c squelch -f -n 'not __fish_seen_subcommand_from ${names}' -a ${name} -d ${quoted(description)}`,
      ...flags.map(
        ({ long, description: text }) =>
          `complete -c squelch -n '__fish_seen_subcommand_from ${name}' -l ${long.slice(2)} -d ${quoted(text)}`,
      ),
    ])
    .join("\n");
}
