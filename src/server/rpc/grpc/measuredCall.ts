import type { EventEmitter } from "node:events";
import type { DescMethod } from "@bufbuild/protobuf";
import { type sendUnaryData, status } from "@grpc/grpc-js";
import type { CallMetrics } from "../../ops/callMetrics.js";

type Handle<Call> = (call: Call, callback: sendUnaryData<unknown>) => void;

/** The same handler of a call that answers once, counted and timed. A call that its client gave up counts as cancelled. */
export function measured<Call extends EventEmitter>(
  { name }: DescMethod,
  handle: Handle<Call>,
  metrics: CallMetrics,
): Handle<Call> {
  return (call, callback) => {
    const end = metrics.begin(name);
    call.once("cancelled", () => end(status.CANCELLED));
    handle(call, (error, ...answer) => {
      end(error?.code ?? status.OK);
      callback(error, ...answer);
    });
  };
}
