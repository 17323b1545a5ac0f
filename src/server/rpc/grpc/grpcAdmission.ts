import type { DescMethod } from "@bufbuild/protobuf";
import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js";
import { services } from "../services.js";
import type { Serving } from "../serving.js";
import { toStatus } from "../status.js";
import { headOf } from "./grpcCalls.js";

const methods = new Map<string, DescMethod>(
  services.flatMap((service) =>
    service.methods.map((method) => [`/${service.typeName}/${method.name}`, method] as const),
  ),
);

/** Has calls of our services read only if it is known who makes them: grpc-js reads nothing until it has passed the metadata on. */
export function admitting({ admit }: Serving): ServerInterceptor {
  return ({ path }, call) => {
    const method = methods.get(path);
    if (method === undefined) return new ServerInterceptingCall(call);
    return new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata: Metadata, pass: (metadata: Metadata) => void) {
            const head = headOf({ metadata, getAuthContext: () => call.getAuthContext() });
            admit(method, head).then(
              () => pass(metadata),
              (error: unknown) => call.sendStatus(toStatus(error)),
            );
          },
        });
      },
    });
  };
}
