import { InterceptingCall, type Interceptor, Metadata, status } from "@grpc/grpc-js";

/** A bearer token, or a function that returns one. The function runs at each call, so that the token can be renewed. */
export type TokenSource = string | (() => string | Promise<string>);

/** Sends the token with each call. A call fails with UNAUTHENTICATED if its token is not available or not valid. */
export function createTokenInterceptor(source: TokenSource): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        const go = (token: string) => {
          // The error of grpc-js would contain the token.
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

/** True if the text can be sent in an authorization header. */
export function isToken(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}
