import { readdir, readFile } from "node:fs/promises";

/**
 * CPU time that the living threads of a process have used so far, in µs. From schedstat, which counts in ns where
 * /proc/PID/stat counts in steps of 10 ms. Rejects where there is no Linux.
 */
export async function processCpuUs(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`);
  const times = threads.map(async (thread) => {
    const [runNs] = (await readFile(`/proc/${pid}/task/${thread}/schedstat`, "utf8")).split(" ");
    return Number(runNs) / 1e3;
  });
  return (await Promise.all(times)).reduce((sum, time) => sum + time, 0);
}
