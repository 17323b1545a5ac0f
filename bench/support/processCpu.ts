import { readdir, readFile } from "node:fs/promises";

/**
 * Returns the CPU time that the living threads of a process have used so far, in µs. It reads schedstat, which counts
 * in ns, while /proc/PID/stat counts in steps of 10 ms. Rejects on systems other than Linux.
 */
export async function processCpuUs(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`);
  const times = threads.map(async (thread) => {
    const [runNs] = (await readFile(`/proc/${pid}/task/${thread}/schedstat`, "utf8")).split(" ");
    return Number(runNs) / 1e3;
  });
  return (await Promise.all(times)).reduce((sum, time) => sum + time, 0);
}
