import type { DescMethod } from "@bufbuild/protobuf";
import { PermissionService } from "../../../../gen/squelch/v1/permission_service_pb.js";
import { hasScope } from "../../../domain/identity.js";
import type { Authenticator } from "../../auth/authenticator.js";
import type { CallerLimits } from "../../auth/callerLimits.js";
import type { CallMetrics } from "../../ops/callMetrics.js";
import type { Answer, Implementation } from "../call.js";
import { type CallContext, type CallHead, createContext } from "../callContext.js";
import type { ServedCall } from "../services.js";
import { toStatus } from "../status.js";
import { type Recording, recordUnidentified } from "./audit.js";
import { openOnce } from "./authorize.js";

const { pauseAllSpeakers, resumeSpeakers, disconnectUser } = PermissionService.method;
/** Calls of an emergency, which must not fail because a router has just asked about all its clients. */
const URGENT_CALLS: ReadonlySet<DescMethod> = new Set<DescMethod>([pauseAllSpeakers, resumeSpeakers, disconnectUser]);

/** Says whether it is known who makes a call: rejects with what `identify` rejects with. */
export type Admit = (method: DescMethod, head: CallHead) => Promise<void>;

/**
 * What the planes ask before they read what a call says: to read a message of 4 MiB costs memory, and to decode one may
 * take seconds. Who is turned away is counted and recorded here, since such a call is never served.
 */
export function admission(authenticator: Authenticator, recording: Recording, metrics: CallMetrics): Admit {
  return async (method, head) => {
    try {
      await authenticator.identify(head);
    } catch (error) {
      recordUnidentified(method, head, error, recording);
      // Counted, but not timed: nothing has been done for it.
      metrics.beginStream(method.name)(toStatus(error).code);
      throw error;
    }
  };
}

/** A call as the planes serve it: for those who can say who they are, and for as long as they can. */
export function identified(
  method: DescMethod,
  call: Implementation,
  authenticator: Authenticator,
  limits: CallerLimits,
  recording: Recording,
): ServedCall {
  async function identify(head: CallHead): Promise<CallContext> {
    const context = await contextOf(head);
    // Not recorded: what is refused for being too much would push out of the trail what was done.
    if (!URGENT_CALLS.has(method) || !hasScope(context.identity, ["pause"])) limits.takeCall(context.identity);
    return context;
  }

  async function contextOf(head: CallHead): Promise<CallContext> {
    try {
      return createContext(await authenticator.identify(head), head.requestId);
    } catch (error) {
      recordUnidentified(method, head, error, recording);
      throw error;
    }
  }

  // What takes long ends when it is no longer proven who calls.
  async function whileProven(head: CallHead, { identity }: CallContext, start: () => Answer): Answer {
    let unguard: (() => void) | undefined;
    const release = limits.openStream(identity);
    const ended = new Promise<never>((_, reject) => {
      unguard = authenticator.guard(head, identity, reject);
    });
    try {
      return await Promise.race([start(), ended]);
    } finally {
      unguard?.();
      release();
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
          return await whileProven(head, context, () => call.handle(request, { ...context, ...bounds }));
        },
      };
    case "clientStream":
      return {
        kind: "clientStream",
        async handle(requests, head) {
          const context = await identify(head);
          return await whileProven(head, context, () => call.handle(requests, context));
        },
      };
    case "watch":
      return {
        kind: "watch",
        open(request, head, sink, fail) {
          let context: CallContext | undefined;
          const endings: (() => void)[] = [];
          const identification = identify(head).then((found) => {
            context = found;
          });
          const watch = openOnce(identification, () => {
            const { identity } = context as CallContext;
            endings.push(limits.openStream(identity));
            const opened = call.open(request, context as CallContext, sink, fail);
            endings.push(authenticator.guard(head, identity, fail));
            return opened;
          });
          return {
            opened: watch.opened,
            close() {
              for (const end of endings.splice(0)) end();
              watch.close();
            },
          };
        },
      };
  }
}
