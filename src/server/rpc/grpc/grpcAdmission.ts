import type { DescMethod } from "@bufbuild/protobuf";
import { type Metadata, ServerInterceptingCall, type ServerInterceptor, type ServerUnaryCall } from "@grpc/grpc-js";
import { services } from "../../contract.js";
import { type Caller, type CallHead, createHead } from "../callContext.js";
import type { Serving } from "../serving.js";
import { toStatus } from "../status.js";

const methods = new Map<string, DescMethod>(
  services.flatMap((service) =>
    service.methods.map((method) => [`/${service.typeName}/${method.name}`, method] as const),
  ),
);

/** The callers of admitted calls. The interceptor and the handler of a call share its metadata object and nothing else. */
const callers = new WeakMap<Metadata, Caller>();

/**
 * Admits each call of our services before grpc-js reads its message: it reads nothing until it has passed the metadata on.
 *
 * @param onAdmitted called with host:port of the client
 */
export function admitting({ admit }: Serving, onAdmitted: (peer: string) => void): ServerInterceptor {
  return ({ path }, call) => {
    const method = methods.get(path);
    if (method === undefined) return new ServerInterceptingCall(call);
    return new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata: Metadata, pass: (metadata: Metadata) => void) {
            const head = headOf({ metadata, getAuthContext: () => call.getAuthContext() });
            admit(method, head).then(
              (caller) => {
                onAdmitted(call.getPeer());
                callers.set(metadata, caller);
                pass(metadata);
              },
              (error: unknown) => call.sendStatus(toStatus(error)),
            );
          },
        });
      },
    });
  };
}

/** Returns the caller of an admitted call. */
export function callerOf({ metadata }: { metadata: Metadata }): Caller {
  const caller = callers.get(metadata);
  if (caller === undefined) throw new Error("this version of grpc-js hands other metadata to handlers");
  return caller;
}

/** Reads the credentials of the caller from the metadata and the connection of a call of grpc-js. */
export function headOf(call: Pick<ServerUnaryCall<unknown, unknown>, "metadata" | "getAuthContext">): CallHead {
  const { metadata } = call;
  return createHead(
    (key) => metadata.get(key)[0]?.toString(),
    () => call.getAuthContext().sslPeerCertificate,
  );
}
