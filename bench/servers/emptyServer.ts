// Measures the lowest cost of a unary call of grpc-js: a server, in its own process, that answers every call with an
// empty message.
import { Server, ServerCredentials } from "@grpc/grpc-js";

const nothing = Buffer.alloc(0);
const asItIs = (bytes: Buffer) => bytes;
const server = new Server();
server.addService(
  {
    call: {
      path: "/bench.Empty/Call",
      requestStream: false,
      responseStream: false,
      requestSerialize: asItIs,
      requestDeserialize: asItIs,
      responseSerialize: asItIs,
      responseDeserialize: asItIs,
    },
  },
  { call: (_: unknown, callback: (error: null, answer: Buffer) => void) => callback(null, nothing) },
);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  process.send?.(`127.0.0.1:${port}`);
});
