import { readFile } from "node:fs/promises";

/**
 * Returns the resident memory of a process, MiB: the current value and the peak since its start. Rejects on systems
 * other than Linux.
 */
export async function processMemoryMib(pid: number): Promise<{ now: number; peak: number }> {
  const text = await readFile(`/proc/${pid}/status`, "utf8");
  const read = (name: string) => {
    const kib = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1];
    if (kib === undefined) throw new Error(`/proc/${pid}/status has no ${name}`);
    return Number(kib) / 1_024;
  };
  return { now: read("VmRSS"), peak: read("VmHWM") };
}
