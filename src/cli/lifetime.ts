let stopRequested = false;

/**
 * Resolves at the first SIGTERM or SIGINT. Call it before anything is started: from then on the process no longer
 * dies of the first signal. A second signal ends it at once with exit code 1.
 */
export function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    const stop = () => {
      if (stopRequested) process.exit(1);
      stopRequested = true;
      resolve();
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
  });
}

/** Whether the first of the signals that `untilStopped` waits for has come. */
export function wasStopped(): boolean {
  return stopRequested;
}

/**
 * Keeps grpc-js from writing to stderr by itself what is logged or told in one line anyway; GRPC_VERBOSITY, if set,
 * is honoured.
 */
export async function silenceGrpcLog(env: NodeJS.ProcessEnv): Promise<void> {
  if (env.GRPC_VERBOSITY) return;
  const { logVerbosity, setLogVerbosity } = await import("@grpc/grpc-js");
  setLogVerbosity(logVerbosity.NONE);
}
