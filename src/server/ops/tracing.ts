import { ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, type Tracer, trace } from "@opentelemetry/api";
import { parseTraceParent } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { version } from "../../lib/ownPackage.js";

/** How long `close` waits for the last spans to be sent, ms. */
const LAST_EXPORT_MS = 2_000;

/** The span of a call. */
export interface CallSpan {
  /** @param failure describes the error, if the call failed */
  end(statusCode: number, failure?: string): void;
}

/** Sends a span for each call to an OpenTelemetry collector. */
export class Tracing {
  readonly #provider: TracerProvider;
  readonly #tracer: Tracer;

  /** @param endpoint base URL of the collector's OTLP over HTTP, for example `http://127.0.0.1:4318` */
  constructor(endpoint: string) {
    const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/$/, "")}/v1/traces` });
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({ "service.name": "squelch", "service.version": version }),
      spanProcessors: [new BatchSpanProcessor({ exporter })],
    });
    this.#tracer = this.#provider.getTracer("squelch");
  }

  /**
   * Begins the span of a call. Its name and attributes follow OpenTelemetry's conventions for RPC.
   *
   * @param traceparent the caller's span, in the format of W3C Trace Context. An invalid value starts a new trace
   */
  begin(service: string, method: string, callId: string, traceparent: string | undefined): CallSpan {
    const parent = traceparent === undefined ? null : parseTraceParent(traceparent);
    const context = parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...parent, isRemote: true });
    const attributes = {
      "rpc.system": "grpc",
      "rpc.service": service,
      "rpc.method": method,
      "squelch.call_id": callId,
    };
    const span: Span = this.#tracer.startSpan(`${service}/${method}`, { kind: SpanKind.SERVER, attributes }, context);
    return {
      end(statusCode, failure) {
        span.setAttribute("rpc.grpc.status_code", statusCode);
        if (failure !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: failure });
        span.end();
      },
    };
  }

  /** Sends the remaining spans. Waits at most 2 s for the collector. */
  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LAST_EXPORT_MS);
    });
    // The shutdown must succeed even if the collector cannot be reached.
    await Promise.race([this.#provider.shutdown().catch(() => undefined), patience]);
    clearTimeout(timer);
  }
}
