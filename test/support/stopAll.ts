/** Stops everything, even if one of them fails. Then it rejects with the first failure. */
export async function stopAll(running: readonly { stop(): Promise<void> }[]): Promise<void> {
  const outcomes = await Promise.allSettled(running.map((one) => one.stop()));
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}
