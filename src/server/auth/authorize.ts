import type { DescMethod } from "@bufbuild/protobuf";
import { SquelchError } from "../../domain/errors.js";
import { hasScope, type Identity, mayAccess } from "../../domain/identity.js";
import { type Right, rights } from "./rights.js";

/** Returns the event that owns a channel. */
export type FindEvent = (channelId: string) => Promise<string | undefined>;

/** Resolves if the caller may make a request. Otherwise rejects with `permissionDenied` and names what is missing. */
export type Authorize = (identity: Identity, request: unknown) => Promise<void>;

/** Creates the check of one method from the table of rights. */
export function createAuthorize(method: DescMethod, findEvent: FindEvent): Authorize {
  const { scopes, events, channel, isFleetWide } = rights[method.localName as keyof typeof rights] as Right<unknown>;
  return async (identity, request) => {
    const wanted = typeof scopes === "function" ? scopes(request) : scopes;
    if (!hasScope(identity, wanted)) {
      throw denied(identity, `may not call ${method.name}: that needs the scope ${wanted.join(" or ")}`);
    }
    if (identity.events === undefined) return;
    if (isFleetWide) throw denied(identity, `may not call ${method.name}: it is about all events`);
    for (const eventId of events?.(request) ?? []) requireEvent(identity, eventId);
    if (channel === undefined) return;
    const eventId = await findEvent(channel(request));
    // A channel that no event owns needs no check.
    if (eventId !== undefined) requireEvent(identity, eventId, `the event of channel "${channel(request)}"`);
  };
}

function requireEvent(identity: Identity, eventId: string, name = `event "${eventId}"`): void {
  if (!mayAccess(identity, eventId)) throw denied(identity, `is not permitted ${name}`);
}

function denied({ name }: Identity, problem: string): SquelchError {
  return new SquelchError("permissionDenied", `${name} ${problem}`);
}
