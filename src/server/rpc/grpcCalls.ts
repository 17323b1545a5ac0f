import { setTimeout as sleep } from "node:timers/promises";
import { create, type DescMethod } from "@bufbuild/protobuf";
import type {
  handleClientStreamingCall,
  handleUnaryCall,
  Metadata,
  ServerReadableStream,
  ServerUnaryCall,
  sendUnaryData,
} from "@grpc/grpc-js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { SquelchError } from "../../domain/errors.js";
import { idProblem } from "../../domain/id.js";
import type { Logger } from "../../lib/logger.js";
import { ACTOR_KEY, ANONYMOUS, type CallContext, type WaitContext } from "./callContext.js";
import { toStatus } from "./status.js";
import type { Endings } from "./streamEndings.js";

/** The longest time for a call, ms. */
const CALL_BUDGET_MS = 2_000;
/** The same for calls whose work grows with the fleet, or that wait, ms. */
const LONG_CALL_BUDGETS_MS = new Map<DescMethod, number>([
  [PermissionService.method.reconcileMemberships, 60_000],
  // The longest wait, and what it needs of the store.
  [PermissionService.method.awaitApplied, 65_000],
]);

/**
 * How long a client stream that has ended may still turn out to be cancelled, ms. Clients on Node.js end a stream
 * before they reset it, in two packets, so that one that was cancelled half way, or ran into its deadline, looks
 * complete at first.
 */
const END_GRACE_MS = 100;

/** A call that is asked once and answers once. */
export type UnaryCall = (request: unknown, context: CallContext) => Promise<Record<string, unknown>>;

/** A call that answers once something has happened, or when its own time is up. */
export type WaitCall = (request: unknown, context: WaitContext) => Promise<Record<string, unknown>>;

/** A call that reads a stream and then answers once. What the stream throws when it breaks goes through it. */
export type ClientStreamCall = (
  requests: AsyncIterable<unknown>,
  context: CallContext,
) => Promise<Record<string, unknown>>;

/** Serves a unary call of grpc-js within its deadline. */
export function createUnaryHandler(
  method: DescMethod,
  handle: UnaryCall,
  logger: Logger,
): handleUnaryCall<unknown, unknown> {
  return (call, callback) =>
    answer(method, call, callback, logger, async () => handle(call.request, contextOf(call.metadata)));
}

/** Serves a unary call of grpc-js that may wait for as long as its client lets it. */
export function createWaitHandler(
  method: DescMethod,
  handle: WaitCall,
  endings: Endings,
  logger: Logger,
): handleUnaryCall<unknown, unknown> {
  return async (call, callback) => {
    const waiting = new AbortController();
    const end = (error: SquelchError) => waiting.abort(error);
    const endUnheard = () => end(new SquelchError("unavailable", "nobody waits for the answer any more"));
    endings.add(end);
    call.on("cancelled", endUnheard);
    const remainingMs = Number(call.getDeadline()) - Date.now();
    // Time for a last look at the store, and for the answer to arrive.
    const answerBeforeMs = performance.now() + remainingMs - Math.min(300, remainingMs / 4);
    await answer(method, call, callback, logger, async () =>
      handle(call.request, { ...contextOf(call.metadata), answerBeforeMs, signal: waiting.signal }),
    );
    endings.delete(end);
    endUnheard();
  };
}

// Answers with what the work comes to, well or not, within the time that the call may take.
async function answer(
  method: DescMethod,
  call: ServerUnaryCall<unknown, unknown>,
  callback: sendUnaryData<unknown>,
  logger: Logger,
  work: () => Promise<Record<string, unknown>>,
): Promise<void> {
  const budget = new Budget(LONG_CALL_BUDGETS_MS.get(method));
  try {
    budget.start(call.getDeadline());
    callback(null, create(method.output, await budget.spendOn(work())));
  } catch (error) {
    logDefect(error, method, logger);
    callback(toStatus(error));
  }
}

/**
 * Serves a client stream of grpc-js. Its time runs from the end of the stream; until then it may break or be ended at
 * any moment, and then the call never sees an end.
 */
export function createClientStreamHandler(
  method: DescMethod,
  handle: ClientStreamCall,
  endings: Endings,
  logger: Logger,
): handleClientStreamingCall<unknown, unknown> {
  return async (call, callback) => {
    const budget = new Budget();
    const end = (error: SquelchError) => budget.fail(error);
    endings.add(end);
    const onEnd = () => {
      endings.delete(end);
      budget.start(call.getDeadline());
    };
    try {
      const work = handle(readToEnd(call, onEnd), contextOf(call.metadata));
      callback(null, create(method.output, await budget.spendOn(work)));
    } catch (error) {
      // Nobody waits for the answer of a call that was cancelled.
      if (call.cancelled) return;
      logDefect(error, method, logger);
      callback(toStatus(error));
    } finally {
      endings.delete(end);
    }
  };
}

// Throws if the stream breaks before its end.
async function* readToEnd(call: ServerReadableStream<unknown, unknown>, onEnd: () => void): AsyncGenerator<unknown> {
  for await (const request of call.iterator({ destroyOnReturn: false })) yield request;
  await sleep(END_GRACE_MS);
  if (call.cancelled) throw new Error("the stream was cancelled");
  onEnd();
}

/** The time that a call may take. */
class Budget {
  /** Gives the call up at once. */
  fail!: (error: SquelchError) => void;
  readonly #failed = new Promise<never>((_, reject) => {
    this.fail = reject;
  });
  readonly #longestMs: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(longestMs = CALL_BUDGET_MS) {
    this.#longestMs = longestMs;
  }

  /** Lets the time run, less what the answer needs to arrive before the client gives up. `spendOn` has to follow. */
  start(deadline: Date | number): void {
    const remainingMs = Number(deadline) - Date.now();
    const budgetMs = Math.min(this.#longestMs, remainingMs - Math.min(100, remainingMs / 10));
    const message = "the store did not answer in time; the outcome is unknown, try again";
    this.#timer = setTimeout(() => this.fail(new SquelchError("unavailable", message)), Math.max(budgetMs, 0));
  }

  /** Rejects with `unavailable` when the time is up; the work goes on then, and what it comes to is lost. */
  async spendOn<T>(work: Promise<T>): Promise<T> {
    try {
      return await Promise.race([work, this.#failed]);
    } finally {
      clearTimeout(this.#timer);
    }
  }
}

function logDefect(error: unknown, method: DescMethod, logger: Logger): void {
  if (!(error instanceof SquelchError)) logger.error({ err: error, method: method.name }, "call failed");
}

function contextOf(metadata: Metadata): CallContext {
  const [value] = metadata.get(ACTOR_KEY);
  if (value === undefined) return { actor: ANONYMOUS };
  const actor = value.toString();
  const problem = idProblem(actor);
  if (problem !== undefined) throw new SquelchError("invalidArgument", `${ACTOR_KEY}: ${problem}`);
  return { actor };
}
