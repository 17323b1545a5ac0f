import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { splitAddress } from "../config.js";
import { METRICS_CONTENT_TYPE } from "../ops/metrics.js";

/** Whether this replica can be used, and if not, why. */
export type Readiness = { ready: true } | { ready: false; reason: string };

/** The HTTP listener: health and metrics. */
export interface HttpPlane {
  /** host:port it really listens on. */
  address: string;
  close(): Promise<void>;
}

/**
 * Serves `/healthz` (200 while the process lives), `/readyz` (200, or 503 with the reason) and `/metrics`. Rejects if the
 * address cannot be bound.
 */
export async function startHttpPlane(
  address: string,
  readiness: () => Readiness,
  metrics: () => Promise<string>,
): Promise<HttpPlane> {
  const server = createServer((request, response) => {
    const answer = (code: number, body: object) => {
      response.writeHead(code, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
    };
    if (request.url === "/healthz") {
      answer(200, { alive: true });
    } else if (request.url === "/readyz") {
      const state = readiness();
      answer(state.ready ? 200 : 503, state);
    } else if (request.url === "/metrics") {
      metrics().then(
        (text) => response.writeHead(200, { "content-type": METRICS_CONTENT_TYPE }).end(text),
        (error: unknown) => answer(500, { error: `the metrics could not be read: ${error}` }),
      );
    } else {
      answer(404, { error: "not found; there are /healthz, /readyz and /metrics" });
    }
  });
  const { host, port } = splitAddress(address) as { host: string; port: number };
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return {
    address: address.replace(/:\d+$/, `:${(server.address() as AddressInfo).port}`),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
