/** An id that no other request has. (`crypto.randomUUID` exists on pages from HTTPS and loopback only.) */
export function createRequestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
