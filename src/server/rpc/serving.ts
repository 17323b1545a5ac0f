import type { DescMethod } from "@bufbuild/protobuf";
import { SquelchError } from "../../domain/errors.js";
import type { Logger } from "../../lib/logger.js";
import type { CallMetrics } from "../ops/callMetrics.js";
import type { CallHead } from "./callContext.js";
import type { Admit } from "./interceptors/identify.js";
import type { ServedCalls } from "./services.js";
import type { Endings } from "./streamEndings.js";

/** What the planes share. */
export interface Serving {
  calls: ServedCalls;
  /** To be asked before a request is read. */
  admit: Admit;
  /** The open streams of all planes. */
  endings: Endings;
  metrics: CallMetrics;
  logger: Logger;
}

/** Logs an error that is nobody's but ours: the caller is told nothing of it. */
export function logDefect(error: unknown, { name }: DescMethod, { requestId }: CallHead, logger: Logger): void {
  if (!(error instanceof SquelchError)) logger.error({ err: error, method: name, requestId }, "call failed");
}

/** How many connections a listener takes. */
export interface ConnectionLimit {
  max: number;
  /** Is called for each that is one too many, and is closed. */
  onRefused(): void;
}
