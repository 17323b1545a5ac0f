import { type Authorize, createAuthorize, type FindEvent } from "../../auth/authorize.js";
import type { Interceptor } from "../call.js";
import { openOnce } from "../calls/watch.js";
import type { OngoingCall } from "../ongoingCall.js";

/** Rejects each request that the caller has no right to make. Of a client stream it checks every message. */
export function authorize(findEvent: FindEvent): Interceptor {
  return (method, call) => {
    const check = createAuthorize(method, findEvent);
    switch (call.kind) {
      case "unary":
        return {
          kind: "unary",
          async handle(request, ongoing) {
            await check(ongoing.identity, request);
            return await call.handle(request, ongoing);
          },
        };
      case "clientStream":
        return {
          kind: "clientStream",
          handle: (requests, ongoing) => call.handle(checkEach(requests, ongoing, check), ongoing),
        };
      case "watch":
        return {
          kind: "watch",
          open: (request, ongoing, ...stream) =>
            openOnce(check(ongoing.identity, request), () => call.open(request, ongoing, ...stream)),
        };
    }
  };
}

async function* checkEach(
  requests: AsyncIterable<unknown>,
  { identity }: OngoingCall,
  check: Authorize,
): AsyncGenerator<unknown> {
  for await (const request of requests) {
    await check(identity, request);
    yield request;
  }
}
