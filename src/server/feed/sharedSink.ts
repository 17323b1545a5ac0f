import type { WatchSink } from "./watcher.js";

/**
 * Lets several writers share one stream. One write is outstanding at a time; the others wait in order. Each writer must
 * wait for its own write to be done, so at most one write per writer is queued.
 */
export function shareSink(sink: WatchSink): WatchSink {
  const waiting: { frames: Buffer; done: () => void }[] = [];
  let isWriting = false;

  function writeNext(): void {
    const next = waiting.shift();
    isWriting = next !== undefined;
    if (next === undefined) return;
    sink.write(next.frames, () => {
      next.done();
      writeNext();
    });
  }

  return {
    write(frames, done) {
      waiting.push({ frames, done });
      if (!isWriting) writeNext();
    },
  };
}
