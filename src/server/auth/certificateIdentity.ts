import type { PeerCertificate } from "node:tls";
import { SquelchError } from "../../domain/errors.js";
import { type Identity, parseIdentity } from "../../domain/identity.js";

/** What the alternative names of a certificate say before an event. */
const EVENT_PREFIX = "URI:squelch:event:";

/**
 * Who a client certificate says that its owner is: the common name, with each organizational unit as a scope, limited to
 * the events of the alternative names `URI:squelch:event:<id>` if there are any. The certificate has been verified.
 *
 * @throws SquelchError `unauthenticated`
 */
export function identifyCertificate({ subject, subjectaltname, valid_to }: PeerCertificate): Identity {
  const { CN: name, OU: units = [] } = subject as { CN?: unknown; OU?: string | string[] };
  const events = (subjectaltname ?? "")
    .split(", ")
    .filter((entry) => entry.startsWith(EVENT_PREFIX))
    .map((entry) => decodeURIComponent(entry.slice(EVENT_PREFIX.length)));
  try {
    return parseIdentity({
      sub: name,
      scope: [units].flat(),
      exp: Date.parse(valid_to) / 1_000,
      ...(events.length > 0 && { events }),
    });
  } catch (error) {
    if (!(error instanceof SquelchError)) throw error;
    throw new SquelchError("unauthenticated", "the client certificate has no common name that is an id", {
      cause: error,
    });
  }
}
