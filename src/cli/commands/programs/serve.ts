import { type Command, Option } from "commander";
import { parseConfig } from "../../../server/config.js";
import { CONFIG_OPTIONS } from "../../../server/configOptions.js";
import type { CommandContext } from "../../context.js";
import { silenceGrpcLog, untilStopped } from "../../lifetime.js";

/** Adds `squelch serve`, which runs a replica until SIGTERM or SIGINT. */
export function addServeCommand(program: Command, context: CommandContext): void {
  const command = program.command("serve").description("run a replica; a flag overrides its SQUELCH_* variable");
  const options = CONFIG_OPTIONS.map(({ name, flag, env, description, defaultText }) => {
    const isSwitch = ["on", "off"].includes(defaultText);
    const option = new Option(
      `${flag} ${isSwitch ? "[on|off]" : "<value>"}`,
      `${description} (${env}; default ${defaultText})`,
    );
    command.addOption(option);
    return { name, attribute: option.attributeName() };
  });
  command
    .addHelpText(
      "after",
      "\nSIGTERM and SIGINT stop it after its streams have ended and routers were asked to reconnect. A second signal stops\nit at once." +
        "\n\nExamples:\n  squelch serve                                      in memory, without Redis" +
        "\n  squelch serve --redis-url redis://127.0.0.1:6379   in Redis, any number of replicas",
    )
    .action(async (values: Record<string, string | true | undefined>) => {
      const flags = Object.fromEntries(
        options.map(({ name, attribute }) => [name, values[attribute] === true ? "on" : values[attribute]]),
      );
      const config = parseConfig(flags, context.env);
      const stopped = untilStopped();
      await silenceGrpcLog(context.env);
      const { start } = await import("../../../server/start.js");
      const server = await start(config);
      await stopped;
      await server.close();
    });
}
