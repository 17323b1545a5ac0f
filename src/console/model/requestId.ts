/** Returns a unique id. `crypto.randomUUID` cannot be used: it exists only on pages from HTTPS and loopback. */
export function createRequestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
