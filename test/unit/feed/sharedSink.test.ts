import { expect, it } from "vitest";
import { shareSink } from "../../../src/server/feed/sharedSink.js";

it("G8: two writers of one stream have one message outstanding together, and take turns", () => {
  const written: string[] = [];
  const free: (() => void)[] = [];
  const shared = shareSink({
    write(message, done) {
      written.push(message.toString());
      free.push(done);
    },
  });
  // Each writer writes its next message when the previous one is done.
  const writer = (name: string, last: number, count = 1) => {
    const next = count < last ? () => writer(name, last, count + 1) : () => undefined;
    shared.write(Buffer.from(`${name}${count}`), next);
  };
  writer("a", 3);
  writer("b", 2);
  const outstanding = [free.length];
  for (let done = free.shift(); done !== undefined; done = free.shift()) {
    done();
    outstanding.push(free.length);
  }
  expect(written).toEqual(["a1", "b1", "a2", "b2", "a3"]);
  expect(outstanding).toEqual([1, 1, 1, 1, 1, 0]);
});
