import type { DescMethod } from "@bufbuild/protobuf";
import type { Answer, ServedCall } from "./call.js";
import type { Caller } from "./callContext.js";
import { OngoingCall } from "./ongoingCall.js";
import type { Serving } from "./serving.js";
import { CallCancelled, isDefect } from "./status.js";

/** A call as a server has received it. */
export interface ReceivedCall {
  caller: Caller;
  /** How long the client waits for the answer, from now, ms; Infinity if it set no deadline. */
  clientWaitsMs: number;
  /** Calls back if the client cancels the call or is gone, at once if that has happened already. */
  onCancelled(listener: () => void): void;
}

/**
 * Runs a call that answers once, and logs its defects.
 *
 * @param input the request, or the stream of requests
 * @param encode converts the answer to the form that the server sends
 * @throws CallCancelled if no client waits for an answer
 */
export async function runCall<Encoded>(
  method: DescMethod,
  call: Exclude<ServedCall, { kind: "watch" }>,
  input: unknown,
  { caller, clientWaitsMs, onCancelled }: ReceivedCall,
  { shutdown, logger }: Serving,
  encode: (answer: Awaited<Answer>) => Encoded,
): Promise<Encoded> {
  const ongoing = new OngoingCall(caller, clientWaitsMs, shutdown.endings);
  onCancelled(() => ongoing.end(new CallCancelled()));
  try {
    // The kind of the method decides whether the input is a request or a stream.
    return encode(await call.handle(input as AsyncIterable<unknown>, ongoing));
  } catch (error) {
    if (isDefect(error)) {
      logger.error({ err: error, method: method.name, callId: ongoing.callId }, "call failed");
    }
    throw error;
  }
}
