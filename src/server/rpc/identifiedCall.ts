import type { DescMethod } from "@bufbuild/protobuf";
import type { Authenticator } from "../auth/authenticator.js";
import { type Recording, recordUnidentified } from "./auditedCalls.js";
import { openOnce } from "./authorizedCall.js";
import { type CallContext, type CallHead, createContext } from "./callContext.js";
import type { Answer, Implementation } from "./implementation.js";
import type { ServedCall } from "./services.js";

/** A call as the planes serve it: for those who can say who they are, and for as long as they can. */
export function identified(
  method: DescMethod,
  call: Implementation,
  authenticator: Authenticator,
  recording: Recording,
): ServedCall {
  async function identify(head: CallHead): Promise<CallContext> {
    try {
      return createContext(await authenticator.identify(head), head.requestId);
    } catch (error) {
      recordUnidentified(method, head, error, recording);
      throw error;
    }
  }

  // What takes long ends when it is no longer proven who calls.
  async function whileProven(head: CallHead, { identity }: CallContext, work: Answer): Answer {
    let unguard: (() => void) | undefined;
    const ended = new Promise<never>((_, reject) => {
      unguard = authenticator.guard(head, identity, reject);
    });
    try {
      return await Promise.race([work, ended]);
    } finally {
      unguard?.();
    }
  }

  switch (call.kind) {
    case "unary":
      return { kind: "unary", handle: async (request, head) => call.handle(request, await identify(head)) };
    case "wait":
      return {
        kind: "wait",
        async handle(request, head, bounds) {
          const context = await identify(head);
          return await whileProven(head, context, call.handle(request, { ...context, ...bounds }));
        },
      };
    case "clientStream":
      return {
        kind: "clientStream",
        async handle(requests, head) {
          const context = await identify(head);
          return await whileProven(head, context, call.handle(requests, context));
        },
      };
    case "watch":
      return {
        kind: "watch",
        open(request, head, sink, fail) {
          let context: CallContext | undefined;
          let unguard: (() => void) | undefined;
          const identification = identify(head).then((found) => {
            context = found;
          });
          const watch = openOnce(identification, () => {
            const { identity } = context as CallContext;
            const opened = call.open(request, context as CallContext, sink, fail);
            unguard = authenticator.guard(head, identity, fail);
            return opened;
          });
          return {
            opened: watch.opened,
            close() {
              unguard?.();
              watch.close();
            },
          };
        },
      };
  }
}
