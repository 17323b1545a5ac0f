import type { PeerCertificate } from "node:tls";
import { SquelchError } from "../../domain/errors.js";
import { type Identity, type IdentityClaims, parseIdentity } from "../../domain/identity.js";

/** What the alternative names of a certificate say before an event. */
const EVENT_PREFIX = "squelch:event:";

/** One alternative name, as Node.js lists them: a kind and a value, which is a JSON string where a comma could be read into it. */
const ALTERNATIVE_NAME = /([A-Za-z0-9 ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;

/**
 * Who a client certificate says that its owner is: the common name, with each organizational unit as a scope, limited to
 * the events of the alternative names `URI:squelch:event:<id>` if there are any. The certificate has been verified.
 *
 * @throws SquelchError `unauthenticated`, also if the certificate has expired since
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
  throw new SquelchError("unauthenticated", "the client certificate has expired; connect again with a new one");
}

function parse(claims: IdentityClaims): Identity {
  try {
    return parseIdentity(claims);
  } catch (error) {
    if (!(error instanceof SquelchError)) throw error;
    throw new SquelchError("unauthenticated", "the client certificate has no common name that is an id", {
      cause: error,
    });
  }
}

// What cannot be read might be a limit: nobody gets in without it.
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
  return new SquelchError(
    "unauthenticated",
    `the alternative names of the client certificate cannot be read; they say URI:${EVENT_PREFIX}<id> with the id encoded`,
  );
}
