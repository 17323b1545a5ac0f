import type { Command } from "commander";
import type { CommandContext } from "../../context.js";

/** `squelch demo`: shows the whole service in one process, with measured delays, and ends. */
export function addDemoCommand(program: Command, context: CommandContext): void {
  program
    .command("demo")
    .description("show it work: a replica in memory, a router, three clients, all in this process")
    .action(async () => {
      const { runDemo } = await import("../../demo/demo.js");
      await runDemo(context);
    });
}
