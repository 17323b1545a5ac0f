import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { toStoreError } from "../../../src/engine/redis/connection/connections.js";
import type {
  MessageListener,
  Subscriber,
  SubscriberListener,
} from "../../../src/engine/redis/connection/subscriber.js";
import { Probe } from "../../../src/engine/redis/ingest/probe.js";
import { Tickets } from "../../../src/engine/redis/ingest/tickets.js";
import { createLogger } from "../../../src/lib/logger.js";

const readOnly = () =>
  toStoreError(
    Object.assign(new Error("READONLY You can't write against a read only replica."), { name: "ReplyError" }),
  );

describe("Probe", () => {
  let deliver: MessageListener;
  let subscription: SubscriberListener;
  let isConnected: boolean;
  let reconnects: number;
  let newest: number;
  /** The errors of the two writes. */
  let ticketFailure: () => unknown;
  let writeFailure: () => unknown;
  /** When own tickets arrive: before or after the answer of their script, or never. */
  let arrival: "before" | "after" | "never";
  let writes: number;
  let accepted: number;
  let probe: Probe;

  beforeEach(() => {
    vi.useFakeTimers();
    isConnected = true;
    reconnects = 0;
    newest = 0;
    ticketFailure = () => undefined;
    writeFailure = () => undefined;
    arrival = "before";
    writes = 0;
    accepted = 0;
    const subscriber = {
      get isConnected() {
        return isConnected;
      },
      subscribeWhenConnected(_channel: string, listener: MessageListener) {
        deliver = listener;
        return () => undefined;
      },
      listen(listener: SubscriberListener) {
        subscription = listener;
        return () => undefined;
      },
      reconnect: () => void reconnects++,
    } as unknown as Subscriber;
    const tickets = new Tickets(async () => {
      const error = ticketFailure();
      if (error !== undefined) throw error;
      const ticket = ++newest;
      if (arrival === "before") deliver(Buffer.from(`${ticket}`));
      if (arrival === "after") setTimeout(() => deliver(Buffer.from(`${ticket}`)), 10);
      return ticket;
    });
    const proveWrites = async () => {
      writes++;
      const error = writeFailure();
      if (error !== undefined) throw error;
    };
    probe = new Probe(tickets, proveWrites, subscriber, createLogger("test", "silent"));
    probe.onAccepted(() => void accepted++);
    probe.start();
    subscription.restored?.();
  });
  afterEach(() => {
    probe.stop();
    vi.useRealTimers();
  });

  const foreignTicket = () => deliver(Buffer.from(`${++newest}`));

  it.each(["before", "after"] as const)("is healthy when its own ticket comes back %s the answer", async (when) => {
    arrival = when;
    subscription.restored?.();
    await vi.advanceTimersByTimeAsync(100);
    expect(probe.health()).toMatchObject({ healthy: true });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(probe.health()).toMatchObject({ healthy: true });
    expect(probe.health().problem).toBeUndefined();
    expect(reconnects).toBe(0);
  });

  it("does not accept a ticket of another replica as a proof", async () => {
    await vi.advanceTimersByTimeAsync(100);
    arrival = "never";
    for (let second = 0; second < 7; second++) {
      await vi.advanceTimersByTimeAsync(1_000);
      foreignTicket();
    }
    expect(probe.health()).toMatchObject({ healthy: false, problem: expect.stringContaining("not proven") });
    await vi.advanceTimersByTimeAsync(2_000);
    expect(reconnects).toBeGreaterThan(0);
  });

  it.each(["ticket", "write"] as const)(
    "is not healthy while its own %s is refused, and reports the reason",
    async (which) => {
      await vi.advanceTimersByTimeAsync(100);
      if (which === "ticket") ticketFailure = readOnly;
      else writeFailure = readOnly;
      await vi.advanceTimersByTimeAsync(2_000);
      const problem = "Redis is a replica and takes no writes (READONLY): connect Squelch to the master";
      expect(probe.health()).toMatchObject({ healthy: false, problem });
      for (let second = 0; second < 30; second++) {
        await vi.advanceTimersByTimeAsync(1_000);
        foreignTicket();
        expect(probe.health().healthy).toBe(false);
      }
      expect([probe.isRefused, accepted, reconnects]).toEqual([true, 0, 0]);
      ticketFailure = () => undefined;
      writeFailure = () => undefined;
      await vi.advanceTimersByTimeAsync(600);
      expect(probe.health()).toMatchObject({ healthy: true });
      expect([probe.isRefused, accepted, [...probe.counts]]).toEqual([false, 1, [["READONLY", 1]]]);
    },
  );

  it("is made at once after a refused command, but not for each of many", async () => {
    await vi.advanceTimersByTimeAsync(1_000);
    const before = writes;
    writeFailure = readOnly;
    for (let command = 0; command < 100; command++) probe.suspect(readOnly());
    await vi.advanceTimersByTimeAsync(0);
    expect(writes).toBe(before + 1);
    expect(probe.health().healthy).toBe(false);
    probe.suspect(new Error("Connection is closed."));
    expect(writes).toBe(before + 1);
  });

  it("is not healthy without an answer for 6 s, nor before the first own ticket of a new subscription", async () => {
    await vi.advanceTimersByTimeAsync(100);
    const closed = () => toStoreError(new Error("Connection is closed."));
    writeFailure = closed;
    await vi.advanceTimersByTimeAsync(4_000);
    expect(probe.health().healthy).toBe(true);
    await vi.advanceTimersByTimeAsync(4_000);
    expect(probe.health()).toMatchObject({ healthy: false, problem: "Redis cannot be reached; try again" });
    expect(probe.isRefused).toBe(false);
    writeFailure = () => undefined;
    await vi.advanceTimersByTimeAsync(2_000);
    expect(probe.health().healthy).toBe(true);
    arrival = "never";
    await vi.advanceTimersByTimeAsync(10);
    subscription.restored?.();
    expect(probe.health().healthy).toBe(false);
    isConnected = false;
    expect(probe.health().healthy).toBe(false);
  });
});
