import type { IncomingMessage } from "node:http";
import { createContextKey, createContextValues } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest } from "@connectrpc/connect/protocol";
import { type Caller, createHead } from "../callContext.js";
import type { Serving } from "../serving.js";
import { toConnectError } from "./connectError.js";
import { peerOf } from "./httpPeer.js";

/** The client of a call, for the handler of the call. */
interface Client {
  /** host:port. */
  address: string;
  /** Resolves with the caller, who is identified once. Rejects if the call must not be served. */
  admit(): Promise<Caller>;
}

const clientKey = createContextKey<Client | undefined>(undefined, { description: "client" });

/** Admits a call before Connect reads its message. */
export function admitted(
  { method }: UniversalHandler,
  asked: UniversalServerRequest,
  request: IncomingMessage,
  serving: Serving,
): UniversalServerRequest {
  const { address, certificate } = peerOf(request);
  const head = createHead((key) => asked.header.get(key) ?? undefined, certificate);
  let admission: Promise<Caller> | undefined;
  const client: Client = {
    address,
    admit() {
      admission ??= serving.admit(method, head);
      return admission;
    },
  };
  return {
    ...asked,
    body: onceAdmitted(client, asked.body as AsyncIterable<Uint8Array>),
    contextValues: createContextValues().set(clientKey, client),
  };
}

/** Returns the client of a call that is being handled. */
export function clientOf({ values }: { values: ReturnType<typeof createContextValues> }): Client {
  const client = values.get(clientKey);
  if (client === undefined) throw new Error("the call did not pass the admission");
  return client;
}

// The body fails before its first byte if the call is refused: Connect then answers in the protocol of the call.
async function* onceAdmitted(client: Client, body: AsyncIterable<Uint8Array>) {
  try {
    await client.admit();
  } catch (error) {
    throw toConnectError(error);
  }
  yield* body;
}
