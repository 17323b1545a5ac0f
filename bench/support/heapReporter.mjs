// Preloaded into a replica. At each SIGUSR2 it collects garbage and logs how much memory is left. Needs --expose-gc.
import { setImmediate as nextTurn } from "node:timers/promises";

process.on("SIGUSR2", async () => {
  // Objects that become unreachable in one collection, through finalisers and weak references, are freed by the
  // next.
  for (let round = 0; round < 3; round++) {
    globalThis.gc?.();
    await nextTurn();
  }
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage();
  console.log(JSON.stringify({ msg: "memory", heapUsed, arrayBuffers, rss }));
});
