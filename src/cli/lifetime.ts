/**
 * Resolves at the first SIGTERM or SIGINT. Call it before anything is started: from then on the process no longer
 * dies of the first signal. A second signal ends it at once with exit code 1.
 */
export function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    let stopping = false;
    const stop = () => {
      if (stopping) process.exit(1);
      stopping = true;
      resolve();
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
  });
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
