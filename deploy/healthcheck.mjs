// Exits with 0 if the replica of this container lives. It asks /healthz, not /readyz: whether Redis is there is nothing
// that a restart of the replica could mend.
const { SQUELCH_HTTP_ADDRESS = "127.0.0.1:8080" } = process.env;
const port = SQUELCH_HTTP_ADDRESS.slice(SQUELCH_HTTP_ADDRESS.lastIndexOf(":") + 1);

try {
  const { status } = await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(2_000) });
  if (status !== 200) throw new Error(`/healthz answers ${status}`);
} catch (error) {
  console.error(`not alive: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
