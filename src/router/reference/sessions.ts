import type { ClientSession } from "./session/clientSession.js";

/** The user of a session in its event. */
interface SessionUser {
  eventId: string;
  userId: string;
}

/** The sessions of all clients that are connected to a router. */
export class Sessions {
  readonly #events = new Map<string, Map<string, Set<ClientSession>>>();

  /** Adds a session until it has ended. */
  add(session: ClientSession): void {
    const { eventId, userId } = session.identity;
    const users = this.#events.get(eventId) ?? new Map<string, Set<ClientSession>>();
    this.#events.set(eventId, users);
    const sessions = users.get(userId) ?? new Set();
    users.set(userId, sessions.add(session));
    void session.ended.then(() => {
      sessions.delete(session);
      // A later session of the user may have a set of its own.
      if (sessions.size === 0 && users.get(userId) === sessions) users.delete(userId);
      if (users.size === 0 && this.#events.get(eventId) === users) this.#events.delete(eventId);
    });
  }

  all(): ClientSession[] {
    return [...this.#events.keys()].flatMap((eventId) => this.ofEvent(eventId));
  }

  ofEvent(eventId: string): ClientSession[] {
    return [...(this.#events.get(eventId)?.values() ?? [])].flatMap((sessions) => [...sessions]);
  }

  ofUser({ eventId, userId }: SessionUser): ClientSession[] {
    return [...(this.#events.get(eventId)?.get(userId) ?? [])];
  }
}
