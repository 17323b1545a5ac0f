import type { PeerCertificate } from "node:tls";
import { refusal, SquelchError } from "../../domain/errors.js";
import { type Identity, type IdentityClaims, parseIdentity } from "../../domain/identity.js";

/** The prefix of an alternative name that names an event. */
const EVENT_PREFIX = "squelch:event:";

/** One alternative name in the list of Node.js: a kind and a value. A value with special characters is a JSON string. */
const ALTERNATIVE_NAME = /([A-Za-z0-9 ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;

/**
 * Returns the identity in a verified client certificate. The common name is the caller's name, each organizational unit a
 * scope. Alternative names `URI:squelch:event:<id>`, if there are any, limit the caller to those events.
 *
 * @throws SquelchError `unauthenticated` if the certificate lacks a name or has expired since it was verified
 */
export function identifyCertificate({ subject, subjectaltname, valid_to }: PeerCertificate): Identity {
  const { CN: name, OU: units = [] } = subject as { CN?: unknown; OU?: string | string[] };
  const events = eventsOf(subjectaltname ?? "");
  const identity = parse({
    sub: name,
    scope: [units].flat(),
    exp: Date.parse(valid_to) / 1_000,
    ...(events.length > 0 && { events }),
  });
  if (identity.expiresAtMs > Date.now()) return identity;
  throw refusal("CERTIFICATE_EXPIRED", "the client certificate has expired; connect again with a new one", {});
}

function parse(claims: IdentityClaims): Identity {
  try {
    return parseIdentity(claims);
  } catch (error) {
    if (!(error instanceof SquelchError)) throw error;
    throw refusal(
      "CERTIFICATE_INVALID",
      "the client certificate has no common name that is an id",
      {},
      {
        cause: error,
      },
    );
  }
}

// Rejects a certificate with an unreadable alternative name, since that name might limit the caller's events.
function eventsOf(names: string): string[] {
  const events: string[] = [];
  const pattern = new RegExp(ALTERNATIVE_NAME);
  while (pattern.lastIndex < names.length) {
    const [, kind, value = ""] = pattern.exec(names) ?? [];
    if (kind === undefined) throw unreadable();
    const uri = value.startsWith('"') ? (JSON.parse(value) as string) : value;
    if (kind !== "URI" || !/^squelch:/i.test(uri)) continue;
    if (!uri.startsWith(EVENT_PREFIX)) throw unreadable();
    events.push(decode(uri.slice(EVENT_PREFIX.length)));
  }
  return events;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw unreadable();
  }
}

function unreadable(): SquelchError {
  return refusal(
    "CERTIFICATE_INVALID",
    `the alternative names of the client certificate cannot be read; write each event as URI:${EVENT_PREFIX}<id> with the id percent-encoded`,
    {},
  );
}
