import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Metadata } from "@grpc/grpc-js";
import { afterEach, expect, it } from "vitest";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { connect } from "../../support/clients/watchClient.js";
import { startSquelch } from "../../support/startSquelch.js";

const { setUserChannels, resumeSpeakers } = PermissionService.method;

const teardowns: (() => unknown)[] = [];
afterEach(async () => {
  for (const teardown of teardowns.splice(0).reverse()) await teardown();
});

interface OtlpSpan {
  name: string;
  traceId: string;
  parentSpanId?: string;
  status: { code?: number; message?: string };
  attributes: { key: string; value: { stringValue?: string; intValue?: number } }[];
}

/** A collector that stores the spans that it receives, in OTLP's JSON form. */
async function startCollector(): Promise<{ url: string; spans: OtlpSpan[] }> {
  const spans: OtlpSpan[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { resourceSpans } = JSON.parse(Buffer.concat(chunks).toString());
    for (const { scopeSpans } of resourceSpans) for (const scope of scopeSpans) spans.push(...scope.spans);
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  teardowns.push(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, spans };
}

it("a collector gets a span for each call, in the caller's trace, with its status and request id", async () => {
  const collector = await startCollector();
  const replica = await startSquelch({ otlpEndpoint: collector.url });
  const client = connect(replica.grpcAddress);
  teardowns.push(() => client.close());
  const metadata = new Metadata();
  metadata.set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  metadata.set("squelch-call-id", "request-1");
  await client.unary(setUserChannels, { eventId: "e1", userId: "u1", channelIds: ["a"] }, { metadata });
  const nonsense = new Metadata();
  nonsense.set("traceparent", "nonsense");
  await expect(client.unary(resumeSpeakers, { eventId: "e1", pauseId: "p" }, { metadata: nonsense })).rejects.toThrow();
  // The remaining spans are sent at the end.
  await replica.close();

  const attributesOf = ({ attributes }: OtlpSpan) =>
    Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue]));
  const [assigned, resumed] = collector.spans;
  expect(collector.spans).toHaveLength(2);
  expect(assigned).toMatchObject({
    name: "squelch.v1.PermissionService/SetUserChannels",
    traceId: "0af7651916cd43dd8448eb211c80319c",
    parentSpanId: "b7ad6b7169203331",
  });
  expect(attributesOf(assigned as OtlpSpan)).toEqual({
    "rpc.system": "grpc",
    "rpc.service": "squelch.v1.PermissionService",
    "rpc.method": "SetUserChannels",
    "rpc.grpc.status_code": 0,
    "squelch.call_id": "request-1",
  });
  expect(resumed?.parentSpanId).toBeFalsy();
  expect(resumed?.status).toMatchObject({ code: 2, message: expect.stringContaining("pause") });
  expect(attributesOf(resumed as OtlpSpan)).toMatchObject({ "rpc.grpc.status_code": 9 });
});

it("G9: an unreachable collector affects neither calls nor the shutdown", async () => {
  const replica = await startSquelch({ otlpEndpoint: "http://127.0.0.1:1" });
  const client = connect(replica.grpcAddress);
  teardowns.push(() => client.close());
  await client.unary(setUserChannels, { eventId: "e1", userId: "u1", channelIds: ["a"] });
  const startedAt = performance.now();
  await replica.close();
  expect(performance.now() - startedAt).toBeLessThan(5_000);
});
