import type { Command } from "commander";
import type { CommandContext } from "../../context.js";

/** Adds `squelch demo`, which shows the whole service in one process, with measured delays. */
export function addDemoCommand(program: Command, context: CommandContext): void {
  program
    .command("demo")
    .description("show how it works: a replica in memory, a router and three clients, all in this process")
    .action(async () => {
      const { runDemo } = await import("../../demo/demo.js");
      await runDemo(context);
    });
}
