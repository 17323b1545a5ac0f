import { type Command, Option } from "commander";
import { DEFAULT_ADDRESS } from "../../connection.js";
import type { CommandContext } from "../../context.js";
import { CommandFailure } from "../../failure.js";
import { silenceGrpcLog, untilStopped } from "../../lifetime.js";
import { parsePositiveDuration } from "../../output/duration.js";
import { addSecurityOptions, readSecurity, type SecurityOptions } from "../../security.js";

const DEFAULT_LISTEN = "127.0.0.1:8090";

interface RouterOptions extends SecurityOptions {
  address?: string;
  listen: string;
  jwtSecret?: string[];
  tokenHorizon?: number;
  routerId?: string;
  cut: "at-once" | "after-transmission";
}

/** Adds `squelch router`, which runs the reference WebSocket router until SIGTERM or SIGINT. */
export function addRouterCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("router")
    .description("run the reference WebSocket router, without audio, for development and tests")
    .option("--address <host:port,…>", `the replicas (or SQUELCH_ADDRESS; default ${DEFAULT_ADDRESS})`)
    .option("--listen <host:port>", "the address for clients; port 0 picks a free port", DEFAULT_LISTEN)
    .option(
      "--jwt-secret <secret>",
      "a secret that verifies tokens of clients; repeat it to rotate secrets (or SQUELCH_JWT_SECRET, which ps does not show)",
      (secret: string, earlier: string[] = []) => [...earlier, secret],
    )
    .option(
      "--token-horizon <duration>",
      "how far ahead the end of a client's token may lie (default: 24h)",
      parsePositiveDuration,
    )
    .option("--router-id <id>", "the id of the router in the logs of the replicas (default: random)")
    .addOption(
      new Option("--cut <when>", "when a speaking user who lost the channel is removed from it")
        .choices(["at-once", "after-transmission"])
        .default("after-transmission"),
    );
  addSecurityOptions(command)
    .addHelpText("after", "\nExample:\n  squelch router --listen 127.0.0.1:0 --jwt-secret secret")
    .action(async (options: RouterOptions) => {
      const { env } = context;
      const jwtSecret = options.jwtSecret ?? [env.SQUELCH_JWT_SECRET ?? ""];
      if (jwtSecret.includes("")) {
        throw new CommandFailure(
          "the secret for the tokens of clients is missing; give --jwt-secret or SQUELCH_JWT_SECRET",
          2,
        );
      }
      const { token, tls } = readSecurity(context, options);
      const stopped = untilStopped();
      await silenceGrpcLog(context.env);
      const { credentials } = await import("@grpc/grpc-js");
      const { createLogger } = await import("../../../lib/logger.js");
      const { startReferenceRouter } = await import("../../../router/reference/referenceRouter.js");
      const logger = createLogger("router");
      const router = await startReferenceRouter({
        address: options.address ?? (env.SQUELCH_ADDRESS || DEFAULT_ADDRESS),
        listen: options.listen,
        jwtSecret,
        ...(options.tokenHorizon !== undefined && { tokenHorizonMs: options.tokenHorizon }),
        ...(token !== undefined && { token }),
        ...(tls !== undefined && {
          credentials: credentials.createSsl(tls.ca ?? null, tls.key ?? null, tls.cert ?? null),
        }),
        ...(options.routerId === undefined ? {} : { routerId: options.routerId }),
        cut: options.cut === "at-once" ? "atOnce" : "afterTransmission",
        logger,
      });
      logger.info({ wsAddress: router.wsAddress }, "listening");
      await stopped;
      await router.close();
    });
}
