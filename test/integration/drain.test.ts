import { randomUUID } from "node:crypto";
import { status } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { type SquelchProcess, spawnSquelch } from "../support/startSquelch.js";
import { connect, watchOn } from "../support/watchClient.js";

let replica: SquelchProcess | undefined;
afterEach(async () => {
  await replica?.stop();
});

describe("SIGTERM", () => {
  it("ends watches with a status that says reconnect, and the process with 0 (pitfall 30)", async () => {
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
