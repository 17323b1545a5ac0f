// Preloaded into a replica: at each SIGUSR2 it collects garbage and says in its log what memory is left. Needs --expose-gc.
import { setImmediate as nextTurn } from "node:timers/promises";

process.on("SIGUSR2", async () => {
  // What one collection makes unreachable, by finalisers and weak references, goes with the next.
  for (let round = 0; round < 3; round++) {
    globalThis.gc?.();
    await nextTurn();
  }
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage();
  console.log(JSON.stringify({ msg: "memory", heapUsed, arrayBuffers, rss }));
});
