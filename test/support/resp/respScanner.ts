const CR = 0x0d;
const LF = 0x0a;
/** Types that consist of their first line, in RESP2 and RESP3. */
const SIMPLE = new Set([..."+-:_#,("]);
/** Types whose first line contains the number of bytes that follow. */
const BULK = new Set([..."$!="]);
/** Types whose first line contains the number of values that follow, and how often that number counts. */
const AGGREGATE = new Map([
  ["*", 1],
  ["~", 1],
  [">", 1],
  ["%", 2],
]);

/** The result of one step of a scan. */
export interface ScanStep {
  /** Where the bytes of the value end in the chunk. */
  end: number;
  /** False if the value continues in the next chunk. */
  isComplete: boolean;
}

/**
 * Finds the end of each value of the Redis protocol, for any split of the bytes into chunks. It keeps no values.
 */
export class RespScanner {
  /** The first line of the value that is being scanned, or was scanned last, without its line break. */
  head = "";
  // Values still to come until the outermost one is complete.
  #missing = 1;
  // Bytes of a bulk, with its line break, still to come.
  #toSkip = 0;
  #line = "";
  #isFresh = true;

  /** Scans a chunk from an offset, to the end of one value at the most. */
  scan(bytes: Buffer, from: number): ScanStep {
    if (this.#isFresh) {
      this.#isFresh = false;
      this.head = "";
    }
    let at = from;
    while (at < bytes.length) {
      if (this.#toSkip > 0) {
        const skipped = Math.min(this.#toSkip, bytes.length - at);
        this.#toSkip -= skipped;
        at += skipped;
        if (this.#toSkip > 0) break;
        this.#missing--;
      } else {
        const lineFeed = bytes.indexOf(LF, at);
        const end = lineFeed === -1 ? bytes.length : lineFeed + 1;
        this.#line += bytes.toString("latin1", at, end);
        at = end;
        if (lineFeed === -1) break;
        this.#takeLine();
      }
      if (this.#missing > 0) continue;
      this.#missing = 1;
      this.#isFresh = true;
      return { end: at, isComplete: true };
    }
    return { end: at, isComplete: false };
  }

  #takeLine(): void {
    const line = this.#line.charCodeAt(this.#line.length - 2) === CR ? this.#line.slice(0, -2) : "";
    this.#line = "";
    this.head ||= line;
    const type = line[0] ?? "";
    const count = Number(line.slice(1));
    const factor = AGGREGATE.get(type);
    if (SIMPLE.has(type) || count === -1) this.#missing--;
    else if (BULK.has(type)) this.#toSkip = count + 2;
    else if (factor !== undefined) this.#missing += count * factor - 1;
    // An attribute precedes the value that it belongs to.
    else if (type === "|") this.#missing += count * 2;
    else throw new Error(`"${line}" begins no value of the Redis protocol`);
  }
}

/** The words of a command, which is an array of bulk strings. */
export function parseCommand(bytes: Buffer): Buffer[] {
  const words: Buffer[] = [];
  let at = bytes.indexOf(LF) + 1;
  while (at < bytes.length) {
    const lineEnd = bytes.indexOf(LF, at) + 1;
    const length = Number(bytes.toString("latin1", at + 1, lineEnd - 2));
    words.push(bytes.subarray(lineEnd, lineEnd + length));
    at = lineEnd + length + 2;
  }
  return words;
}
