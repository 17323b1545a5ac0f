import type { UserBan } from "../../domain/ban.js";
import { cutCloseReason, FORCE_DISCONNECT_CODE, forceDisconnectFrame } from "../relay/frames.js";
import type { ClientIdentity } from "./clientToken.js";
import { refusalText } from "./routerCalls.js";
import type { RouterContext } from "./routerContext.js";

/** Why a client is not connected, as an HTTP status and a message that it may see. */
export class Refusal extends Error {
  override readonly name = "Refusal";

  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** What a banned client is told. */
export function banNotice({ reason, expiresAtMs }: UserBan): string {
  const end = expiresAtMs === undefined ? "" : ` until ${new Date(expiresAtMs).toISOString()}`;
  return `You are banned${end}${reason === "" ? "" : `: ${reason}`}`;
}

/** A client that has been admitted. */
export interface AdmittedClient {
  readonly identity: ClientIdentity;
  send(frame: string): void;
  close(code: number, reason: string): void;
}

interface Pending {
  identity: ClientIdentity;
  sinceMs: number;
  isDisconnected: boolean;
}

/**
 * Whom a reference router lets in. The store alone decides what a user may do, so it is asked about everybody who
 * connects; one of whom it has never heard is seeded from the signed token. If it cannot be asked the client is admitted:
 * an outage must not silence the fleet.
 */
export class Admissions {
  readonly #context: RouterContext;
  readonly #pending = new Set<Pending>();
  /** Of clients about whom the store could not be asked. */
  readonly #unasked = new WeakSet<ClientIdentity>();

  constructor(context: RouterContext) {
    this.#context = context;
    context.client.on("disconnect", ({ eventId, userId, connectedBeforeMs }) => {
      for (const pending of this.#pending) {
        const isMeant = pending.identity.eventId === eventId && pending.identity.userId === userId;
        if (isMeant && pending.sinceMs < connectedBeforeMs) pending.isDisconnected = true;
      }
    });
  }

  /**
   * Calls `connect`, unless the user is banned, or is disconnected by force before it comes to that.
   *
   * @throws Refusal
   */
  async admit(identity: ClientIdentity, connect: () => void): Promise<void> {
    const pending: Pending = { identity, sinceMs: Date.now(), isDisconnected: false };
    this.#pending.add(pending);
    try {
      const ban = await this.#ask(identity);
      if (ban !== undefined) throw new Refusal(403, banNotice(ban));
      if (pending.isDisconnected) throw new Refusal(403, "You were disconnected");
      connect();
    } finally {
      this.#pending.delete(pending);
    }
  }

  /** Asks about a client who is connected, if the store could not be asked before or has forgotten the user. */
  async lookAgain(client: AdmittedClient): Promise<void> {
    const { identity } = client;
    const isKnown = this.#context.client.permissionsOf(identity.eventId, identity.userId) !== undefined;
    if (isKnown && !this.#unasked.has(identity)) return;
    const ban = await this.#ask(identity);
    if (ban === undefined) return;
    client.send(forceDisconnectFrame(banNotice(ban)));
    client.close(FORCE_DISCONNECT_CODE, cutCloseReason(banNotice(ban)));
  }

  async #ask(identity: ClientIdentity): Promise<UserBan | undefined> {
    const { client, calls, logger } = this.#context;
    const { eventId, userId, channelIds } = identity;
    this.#unasked.delete(identity);
    try {
      const { known, ban } = await client.refreshUser(eventId, userId);
      if (ban !== undefined || known || channelIds.length === 0) return ban;
      await calls.seedUser(identity);
      await client.refreshUser(eventId, userId);
    } catch (error) {
      this.#unasked.add(identity);
      logger.warn({ eventId, userId, reason: refusalText(error) }, "user could not be asked about, and is admitted");
    }
    return undefined;
  }
}
