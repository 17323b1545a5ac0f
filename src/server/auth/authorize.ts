import type { DescMethod } from "@bufbuild/protobuf";
import { refusal } from "../../domain/errors.js";
import { hasScope, type Identity, mayAccess } from "../../domain/identity.js";
import { type Right, rights } from "./rights.js";

/** Returns the event that owns a channel. */
export type FindEvent = (channelId: string) => Promise<string | undefined>;

/** Resolves if the caller may make a request. Otherwise rejects with `permissionDenied` and names the missing right. */
export type Authorize = (identity: Identity, request: unknown) => Promise<void>;

/** Creates the check of one method from the table of rights. */
export function createAuthorize(method: DescMethod, findEvent: FindEvent): Authorize {
  const { scopes, events, channel, isFleetWide } = rights[method.localName as keyof typeof rights] as Right<unknown>;
  return async (identity, request) => {
    const wanted = typeof scopes === "function" ? scopes(request) : scopes;
    if (!hasScope(identity, wanted)) {
      throw refusal(
        "SCOPE_MISSING",
        `${identity.name} may not call ${method.name}: that needs the scope ${wanted.join(" or ")}`,
        { scope: wanted.join(" "), call: method.name },
      );
    }
    if (identity.events === undefined) return;
    if (isFleetWide) {
      throw refusal("FLEET_WIDE_CALL", `${identity.name} may not call ${method.name}: it is about all events`, {
        call: method.name,
      });
    }
    for (const eventId of events?.(request) ?? []) requireEvent(identity, eventId);
    if (channel === undefined) return;
    const eventId = await findEvent(channel(request));
    // A channel that no event owns needs no check.
    if (eventId === undefined || mayAccess(identity, eventId)) return;
    // The caller did not name the event, so the error must not.
    const what = `the event of channel "${channel(request)}"`;
    throw refusal("EVENT_NOT_ALLOWED", `${identity.name} is not permitted ${what}`, {});
  };
}

function requireEvent(identity: Identity, eventId: string): void {
  if (mayAccess(identity, eventId)) return;
  throw refusal("EVENT_NOT_ALLOWED", `${identity.name} is not permitted event "${eventId}"`, { eventId });
}
