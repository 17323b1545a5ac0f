import { InterceptingCall, type Interceptor, Metadata, status } from "@grpc/grpc-js";

/** A token to call with, or a function that is asked for one at each call, so that it can be renewed. */
export type TokenSource = string | (() => string | Promise<string>);

/** Sends the token with each call. A call for which there is none fails with UNAUTHENTICATED. */
export function createTokenInterceptor(source: TokenSource): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        const go = (token: string) => {
          // What grpc-js says of it would quote it.
          if (!isToken(token)) throw new Error("it is empty, or has spaces, line breaks or non-ASCII characters");
          metadata.set("authorization", `Bearer ${token}`);
          next(metadata, listener);
        };
        const fail = (error: unknown) => {
          const details = `no token to call with: ${error instanceof Error ? error.message : error}`;
          listener.onReceiveStatus({ code: status.UNAUTHENTICATED, details, metadata: new Metadata() });
        };
        if (typeof source === "string" && isToken(source)) go(source);
        else
          void Promise.resolve()
            .then(() => (typeof source === "string" ? source : source()))
            .then(go)
            .catch(fail);
      },
    });
}

/** True for what can be sent as a token. */
export function isToken(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}
