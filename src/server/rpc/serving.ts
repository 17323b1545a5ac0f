import type { Logger } from "../../lib/logger.js";
import type { ServedCalls } from "./call.js";
import type { Admit } from "./interceptors/identify.js";
import type { Shutdown } from "./shutdown.js";

/** The largest request, bytes. A larger one fails with RESOURCE_EXHAUSTED. */
export const MAX_REQUEST_BYTES = 4 << 20;

/** How long a client may take to send a request, ms. Calls with a stream of requests may take longer. */
export const REQUEST_TIMEOUT_MS = 10_000;

/** The common parts of the gRPC server and the HTTP server. */
export interface Serving {
  /** Called with the headers of each call, before its message is read. */
  admit: Admit;
  calls: ServedCalls;
  shutdown: Shutdown;
  logger: Logger;
}
