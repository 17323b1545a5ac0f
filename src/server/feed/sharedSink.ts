import type { WatchSink } from "./watcher.js";

/**
 * The same stream for several writers in turn: one message is outstanding in all. Each writer waits for its own to be
 * done, so no more messages are held than there are writers.
 */
export function shareSink(sink: WatchSink): WatchSink {
  const waiting: { frame: Buffer; done: () => void }[] = [];
  let isWriting = false;

  function writeNext(): void {
    const next = waiting.shift();
    isWriting = next !== undefined;
    if (next === undefined) return;
    sink.write(next.frame, () => {
      next.done();
      writeNext();
    });
  }

  return {
    write(frame, done) {
      waiting.push({ frame, done });
      if (!isWriting) writeNext();
    },
  };
}
