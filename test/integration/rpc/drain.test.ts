import { randomUUID } from "node:crypto";
import { type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { connect, watchOn } from "../../support/clients/watchClient.js";
import { type SquelchProcess, spawnSquelch } from "../../support/startSquelch.js";
import { waitFor } from "../../support/waitFor.js";

let replica: SquelchProcess | undefined;
afterEach(async () => {
  await replica?.stop();
});

describe("SIGTERM", () => {
  it("ends watches with a status that asks for a reconnect, and the process with 0 (pitfall 30)", async () => {
    replica = await spawnSquelch();
    const client = connect(replica.grpcAddress);
    const watches = Array.from({ length: 5 }, () => watchOn(client, { eventIds: [randomUUID()] }));
    for (const watch of watches) await watch.caughtUp();
    replica.kill("SIGTERM");
    for (const watch of watches) {
      expect(await watch.ended()).toMatchObject({
        code: status.UNAVAILABLE,
        details: expect.stringContaining("reconnect"),
      });
    }
    expect(await replica.exited).toBe(0);
    client.close();
  });

  it("ends watches one after another, and each may reconnect at once (pitfall 34)", async () => {
    replica = await spawnSquelch();
    const client = connect(replica.grpcAddress);
    const eventId = randomUUID();
    const watches = Array.from({ length: 20 }, () => watchOn(client, { eventIds: [eventId] }));
    for (const watch of watches) await watch.caughtUp();
    replica.kill("SIGTERM");
    const endedAtMs = await Promise.all(
      watches.map(async (watch) => {
        const { metadata } = await watch.ended();
        expect(metadata?.get("grpc-retry-pushback-ms")).toEqual(["0"]);
        return performance.now();
      }),
    );
    expect(Math.max(...endedAtMs) - Math.min(...endedAtMs)).toBeGreaterThan(200);
    expect(await replica.exited).toBe(0);
    client.close();
  });

  it("ends the streams of health and reflection as well (pitfall 30)", async () => {
    replica = await spawnSquelch();
    const client = connect(replica.grpcAddress);
    const pass = (bytes: Buffer) => bytes;
    const watch = client.raw.makeServerStreamRequest("/grpc.health.v1.Health/Watch", pass, pass, Buffer.alloc(0));
    const reflection = client.raw.makeBidiStreamRequest(
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      pass,
      pass,
    );
    const statuses: number[] = [];
    const endings: ServiceError[] = [];
    watch.on("data", (bytes: Buffer) => statuses.push(bytes[1] as number));
    let answers = 0;
    reflection.on("data", () => answers++);
    for (const stream of [watch, reflection]) stream.on("error", (error: ServiceError) => endings.push(error));
    // list_services, an empty string.
    reflection.write(Buffer.from([0x3a, 0]));
    await waitFor(() => statuses.length > 0 && answers > 0);
    const startedAtMs = performance.now();
    replica.kill("SIGTERM");
    expect(await replica.exited).toBe(0);
    expect(performance.now() - startedAtMs, "half of the drain time").toBeLessThan(5_000);
    expect(statuses).toEqual([1, 2]);
    expect(endings.map(({ code }) => code)).toEqual([status.UNAVAILABLE, status.UNAVAILABLE]);
    client.close();
  });

  it("does not wait for a stream that is not read (pitfall 30)", async () => {
    replica = await spawnSquelch(["--drain-timeout", "500"]);
    const client = connect(replica.grpcAddress);
    const watch = watchOn(client, { eventIds: [randomUUID()] });
    await watch.caughtUp();
    watch.setReading(false);
    const startedAt = performance.now();
    replica.kill("SIGTERM");
    expect(await replica.exited).toBe(0);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    watch.setReading(true);
    await watch.ended();
    client.close();
  });
});
