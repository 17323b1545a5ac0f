import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import { service as definition } from "grpc-health-check";

type Status = "SERVING" | "NOT_SERVING" | "SERVICE_UNKNOWN";
type Check = ServerUnaryCall<{ service: string }, { status: Status }>;
type Watch = ServerWritableStream<{ service: string }, { status: Status }>;

/** How many health watches may be open at the same time. Probes make single checks; a client needs one watch at most. */
const MAX_WATCHES = 1_000;

/** The prefix of the paths of all methods of the health service. */
export const HEALTH_PATH = "/grpc.health.v1.Health/";

/** The largest health request, bytes. The names of our services are much shorter. */
export const MAX_HEALTH_REQUEST_BYTES = 1_024;

/**
 * Answers gRPC health checks (grpc.health.v1) for the whole server, whose name is empty, and for each service by name. All
 * share one status. Probes have no token, so the service stores nothing that a caller sends.
 */
export class Health {
  readonly #names: ReadonlySet<string>;
  readonly #watches = new Set<Watch>();
  #status: Status = "NOT_SERVING";

  constructor(services: readonly { typeName: string }[]) {
    this.#names = new Set(["", ...services.map(({ typeName }) => typeName)]);
  }

  /** Sets the status, and sends it to all watches if it has changed. */
  setServing(isServing: boolean): void {
    const next = isServing ? "SERVING" : "NOT_SERVING";
    if (next === this.#status) return;
    this.#status = next;
    for (const watch of this.#watches) watch.write({ status: next });
  }

  addToServer(server: { addService(...service: unknown[]): void }): void {
    server.addService(definition, {
      check: (call: Check, callback: sendUnaryData<{ status: Status }>) => this.#check(call, callback),
      watch: (call: Watch) => this.#watch(call),
      list: (_call: unknown, callback: sendUnaryData<{ statuses: object }>) => {
        const statuses = [...this.#names].map((name) => [name, { status: this.#status }]);
        callback(null, { statuses: Object.fromEntries(statuses) });
      },
    });
  }

  #check({ request }: Check, callback: sendUnaryData<{ status: Status }>): void {
    const details = "service: not one of this server; leave it empty, or name a service that reflection lists";
    if (this.#names.has(request.service)) callback(null, { status: this.#status });
    else callback({ code: status.NOT_FOUND, details });
  }

  // The status of an unknown service never changes here, so such a watch is not kept. It stays open, as the protocol requires.
  #watch(call: Watch): void {
    if (!this.#names.has(call.request.service)) {
      call.write({ status: "SERVICE_UNKNOWN" });
      return;
    }
    if (this.#watches.size >= MAX_WATCHES) {
      const details = `${MAX_WATCHES} health watches are open; make single checks instead`;
      call.emit("error", { code: status.RESOURCE_EXHAUSTED, details });
      return;
    }
    this.#watches.add(call);
    for (const ending of ["cancelled", "close"]) call.on(ending, () => this.#watches.delete(call));
    call.write({ status: this.#status });
  }
}
