import type { WatchSink } from "./watcher.js";

/**
 * The same stream for several writers in turn: one write is outstanding in all. Each writer waits for its own to be
 * done, so no more writes are held than there are writers.
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
