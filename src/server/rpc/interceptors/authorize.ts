import type { DescMethod } from "@bufbuild/protobuf";
import { type Authorize, createAuthorize, type FindEvent } from "../../auth/authorize.js";
import type { Implementation } from "../call.js";
import type { CallContext } from "../callContext.js";
import type { OpenWatch } from "../calls/watch.js";

/** The same call for those alone who may make it. */
export function authorized(method: DescMethod, call: Implementation, findEvent: FindEvent): Implementation {
  const authorize = createAuthorize(method, findEvent);
  switch (call.kind) {
    case "unary":
      return {
        kind: "unary",
        async handle(request, context) {
          await authorize(context.identity, request);
          return await call.handle(request, context);
        },
      };
    case "wait":
      return {
        kind: "wait",
        async handle(request, context) {
          await authorize(context.identity, request);
          return await call.handle(request, context);
        },
      };
    case "clientStream":
      return {
        kind: "clientStream",
        handle: (requests, context) => call.handle(eachAuthorized(requests, context, authorize), context),
      };
    case "watch":
      return {
        kind: "watch",
        open: (request, context, ...stream) =>
          openOnce(authorize(context.identity, request), () => call.open(request, context, ...stream)),
      };
  }
}

async function* eachAuthorized(
  requests: AsyncIterable<unknown>,
  { identity }: CallContext,
  authorize: Authorize,
): AsyncGenerator<unknown> {
  for await (const request of requests) {
    await authorize(identity, request);
    yield request;
  }
}

/** A watch that is opened once it may be. */
export function openOnce(permitted: Promise<void>, open: () => OpenWatch): OpenWatch {
  let watch: OpenWatch | undefined;
  let isClosed = false;
  return {
    opened: permitted.then(() => {
      if (isClosed) return;
      watch = open();
      // It may have failed while it was opened.
      if (isClosed) watch.close();
      return watch.opened;
    }),
    close() {
      isClosed = true;
      watch?.close();
    },
  };
}
