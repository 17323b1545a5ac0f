let stopRequested = false;

/**
 * Resolves at the first SIGTERM or SIGINT. A second signal ends the process at once with exit code 1. Call it before
 * anything starts: after the call the first signal no longer ends the process by itself.
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
 * Stops grpc-js from writing its own log to stderr, because the program logs or prints the same errors. Does nothing if
 * GRPC_VERBOSITY is set.
 */
export async function silenceGrpcLog(env: NodeJS.ProcessEnv): Promise<void> {
  if (env.GRPC_VERBOSITY) return;
  const { logVerbosity, setLogVerbosity } = await import("@grpc/grpc-js");
  setLogVerbosity(logVerbosity.NONE);
}
