// A replica with a defect, for testing the checker: `node --import tsx test/torture/fleet/flawedReplica.ts FLAW`, then the
// flags of `squelch serve`.
import { parseArgs } from "node:util";
import { parseConfig } from "../../../src/server/config.js";
import { start } from "../../../src/server/start.js";
import { FLAWS, type Flaw } from "./flaws.js";

const options = {
  "grpc-address": { type: "string" },
  "http-address": { type: "string" },
  "redis-url": { type: "string" },
  "log-level": { type: "string" },
} as const;
const { values, positionals } = parseArgs({ options, allowPositionals: true });
const flaw: Flaw | undefined = FLAWS[positionals[0] as keyof typeof FLAWS];
if (flaw === undefined) throw new Error(`there is no flaw "${positionals[0]}"`);

flaw.patch?.();
const replica = await start(
  parseConfig(
    {
      grpcAddress: values["grpc-address"],
      httpAddress: values["http-address"],
      redisUrl: values["redis-url"],
      logLevel: values["log-level"],
    },
    {},
  ),
  flaw.decorateEngine ? { decorateEngine: flaw.decorateEngine } : {},
);
process.once("SIGTERM", () => {
  replica.close().catch((error: unknown) => {
    throw error;
  });
});
