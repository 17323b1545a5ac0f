// Exits with 0 if the replica of this container is alive. It reads /healthz and not /readyz, because a restart of the
// replica cannot repair a lost connection to Redis.
import { get as getPlain } from "node:http";
import { get as getTls } from "node:https";

const { SQUELCH_HTTP_ADDRESS = "127.0.0.1:8080", SQUELCH_TLS_CERT } = process.env;
const port = SQUELCH_HTTP_ADDRESS.slice(SQUELCH_HTTP_ADDRESS.lastIndexOf(":") + 1);
const get = SQUELCH_TLS_CERT ? getTls : getPlain;
// The certificate has other names than loopback. It need not be verified on loopback.
const options = { host: "127.0.0.1", port, path: "/healthz", timeout: 2_000, rejectUnauthorized: false };

/** @param {string} problem */
function fail(problem) {
  console.error(`not alive: ${problem}`);
  process.exit(1);
}

get(options, ({ statusCode }) => (statusCode === 200 ? process.exit(0) : fail(`/healthz answers ${statusCode}`)))
  .on("timeout", () => fail("/healthz does not answer"))
  .on("error", ({ message }) => fail(message));
