import { describe, expect, it, vi } from "vitest";
import { SharedRun } from "../../../src/lib/sharedRun.js";

/** A job that runs until it is finished by hand or its signal is aborted. Resolves with the number of the run. */
function createJob() {
  const finish: (() => void)[] = [];
  const job = vi.fn(
    (signal: AbortSignal) =>
      new Promise<number>((resolve, reject) => {
        finish.push(() => resolve(finish.length));
        signal.addEventListener("abort", () => reject(signal.reason));
      }),
  );
  return { finish, job };
}

describe("SharedRun", () => {
  it("gives callers that arrive during a run one run that begins after it", async () => {
    const { finish, job } = createJob();
    const shared = new SharedRun(job);
    const first = shared.run();
    await vi.waitFor(() => expect(job).toHaveBeenCalledTimes(1));
    const second = shared.run();
    expect(shared.run()).toBe(second);
    finish[0]?.();
    expect(await first).toBe(1);
    await vi.waitFor(() => expect(job).toHaveBeenCalledTimes(2));
    finish[1]?.();
    expect(await second).toBe(2);
  });

  it("continues after a failed run: only the callers that shared it fail", async () => {
    const job = vi.fn(async () => "done").mockRejectedValueOnce(new Error("not now"));
    const shared = new SharedRun(job);
    await expect(shared.run()).rejects.toThrow("not now");
    expect(await shared.run()).toBe("done");
  });

  it("aborts a run when its last caller has given up, and not before", async () => {
    const { finish, job } = createJob();
    const shared = new SharedRun(job);
    const callers = [new AbortController(), new AbortController()];
    const runs = callers.map(({ signal }) => shared.run(signal));
    await vi.waitFor(() => expect(job).toHaveBeenCalledTimes(1));
    callers[0]?.abort(new Error("the first gives up"));
    await expect(runs[0]).rejects.toThrow("the first gives up");
    expect(job.mock.calls[0]?.[0].aborted).toBe(false);
    callers[1]?.abort(new Error("the second gives up"));
    await expect(runs[1]).rejects.toThrow("the second gives up");
    expect(job.mock.calls[0]?.[0].aborted).toBe(true);
    await vi.waitFor(() => expect(shared.isRunning).toBe(false));
    const next = shared.run();
    await vi.waitFor(() => expect(job).toHaveBeenCalledTimes(2));
    finish[1]?.();
    expect(await next).toBe(2);
  });

  it("never aborts a run with a caller that has no signal", async () => {
    const { finish, job } = createJob();
    const shared = new SharedRun(job);
    const caller = new AbortController();
    const given = shared.run(caller.signal);
    const kept = shared.run();
    await vi.waitFor(() => expect(job).toHaveBeenCalledTimes(1));
    caller.abort(new Error("gone"));
    await expect(given).rejects.toThrow("gone");
    finish[0]?.();
    expect(await kept).toBe(1);
  });

  it("does not begin a run that all callers have given up, and gives later callers another one", async () => {
    const { finish, job } = createJob();
    const shared = new SharedRun(job);
    const first = shared.run();
    await vi.waitFor(() => expect(job).toHaveBeenCalledTimes(1));
    const caller = new AbortController();
    const given = shared.run(caller.signal);
    caller.abort(new Error("gone"));
    await expect(given).rejects.toThrow("gone");
    const later = shared.run();
    finish[0]?.();
    await first;
    await vi.waitFor(() => expect(job).toHaveBeenCalledTimes(2));
    finish[1]?.();
    expect(await later).toBe(2);
    expect(job).toHaveBeenCalledTimes(2);
  });

  it("rejects a caller at once if its signal is already aborted", async () => {
    const { job } = createJob();
    await expect(new SharedRun(job).run(AbortSignal.abort(new Error("gone")))).rejects.toThrow("gone");
    expect(job).not.toHaveBeenCalled();
  });
});
