import type { DescMethod } from "@bufbuild/protobuf";
import { SquelchError } from "../../domain/errors.js";
import { hasScope, type Identity, mayAccess } from "../../domain/identity.js";
import { type Right, rights } from "./rights.js";

/** The event that a channel belongs to. */
export type FindEvent = (channelId: string) => Promise<string | undefined>;

/** Says whether a caller may make a request: rejects with `permissionDenied`, naming what is missing, if not. */
export type Authorize = (identity: Identity, request: unknown) => Promise<void>;

/** The check of one call, out of the one table. */
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
    // One that belongs to no event is nobody else's.
    if (eventId !== undefined) requireEvent(identity, eventId, `the event of channel "${channel(request)}"`);
  };
}

function requireEvent(identity: Identity, eventId: string, name = `event "${eventId}"`): void {
  if (!mayAccess(identity, eventId)) throw denied(identity, `is not permitted ${name}`);
}

function denied({ name }: Identity, problem: string): SquelchError {
  return new SquelchError("permissionDenied", `${name} ${problem}`);
}
