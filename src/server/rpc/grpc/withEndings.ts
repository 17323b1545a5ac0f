import type { Server, ServerDuplexStream, ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import type { Endings } from "../shutdown.js";
import { toStatus } from "../status.js";

type AnyStream = ServerDuplexStream<unknown, unknown>;

/**
 * Wraps a server for services of libraries, such as health and reflection, that never end their streams: a shutdown of
 * the replica ends them.
 *
 * @param admit rejects with the reason if the caller may not open a stream
 */
export function withEndings(
  server: Server,
  endings: Endings,
  admit: (call: AnyStream) => Promise<void> = () => Promise.resolve(),
): Server {
  const addService = (definition: ServiceDefinition, implementation: UntypedServiceImplementation) => {
    const methods = Object.entries(definition);
    const wrapped = Object.entries(implementation).map(([name, handler]) => {
      const method = methods.find(([key, { originalName }]) => name === key || name === originalName)?.[1];
      if (method?.responseStream !== true) return [name, handler];
      const handle = handler as (call: AnyStream) => void;
      const handleAndEnd = (call: AnyStream) => {
        const end = (error: unknown) => void call.emit("error", toStatus(error));
        endings.add(end);
        for (const ending of ["cancelled", "close"]) call.on(ending, () => endings.delete(end));
        admit(call).then(() => handle(call), end);
      };
      return [name, handleAndEnd];
    });
    server.addService(definition, Object.fromEntries(wrapped));
  };
  return { addService } as Pick<Server, "addService"> as Server;
}
