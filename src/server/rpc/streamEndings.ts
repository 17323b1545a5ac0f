import { setTimeout as sleep } from "node:timers/promises";
import type { Server, ServerDuplexStream, ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import type { SquelchError } from "../../domain/errors.js";
import { toStatus } from "./status.js";

type AnyStream = ServerDuplexStream<unknown, unknown>;

/** What ends the open streams when the replica shuts down. */
export type Endings = Set<(error: SquelchError) => void>;

/**
 * Ends all streams one after another, evenly spread over `spreadMs`, so that their clients do not all come to the other
 * replicas at once. Those that are opened meanwhile are ended as well.
 */
export async function endInTurn(endings: Endings, error: SquelchError, spreadMs: number): Promise<void> {
  // Timers are good for a turn a millisecond. After a turn that came late the next ones keep their distance all the same.
  const endingsPerTurn = Math.ceil(endings.size / spreadMs);
  const turnMs = (spreadMs * endingsPerTurn) / endings.size;
  let ended = 0;
  for (const end of endings) {
    if (ended > 0 && ended % endingsPerTurn === 0) await sleep(turnMs);
    // It may have ended by itself meanwhile.
    if (endings.has(end)) end(error);
    endings.delete(end);
    ended++;
  }
}

/**
 * The server for services that never end their streams themselves, as health and reflection: they end as the others.
 *
 * @param admit rejects with the reason if a caller may not open a stream
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
