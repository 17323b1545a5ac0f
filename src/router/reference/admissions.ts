import type { UserBan } from "../../domain/ban.js";
import { cutCloseReason, FORCE_DISCONNECT_CODE, forceDisconnectFrame } from "../relay/frames.js";
import type { ClientIdentity } from "./clientToken.js";
import { refusalText } from "./routerCalls.js";
import type { RouterContext } from "./routerContext.js";

/** The connection of a client is refused. It has the HTTP status and the message for the client. */
export class Refusal extends Error {
  override readonly name = "Refusal";

  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Returns the message that a banned client sees. */
export function banNotice({ reason, expiresAtMs }: UserBan): string {
  const end = expiresAtMs === undefined ? "" : ` until ${new Date(expiresAtMs).toISOString()}`;
  return `You are banned${end}${reason === "" ? "" : `: ${reason}`}`;
}

/** A connected client. */
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
 * Decides which clients a reference router admits. It reads every user who connects from the store, because only the store
 * knows bans and channels. A user who is unknown to the store gets the channels of the signed token. If the store cannot be
 * read, the client is admitted: an outage must not silence the fleet.
 */
export class Admissions {
  readonly #context: RouterContext;
  readonly #pending = new Set<Pending>();
  /** The clients that were admitted without an answer of the store. */
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
   * Calls `connect`, unless the user is banned or was disconnected in the meantime.
   *
   * @throws Refusal if the client may not connect
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

  /**
   * Reads the user of a connected client from the store again, if the read at admission failed or the user is unknown now.
   * A banned client is closed.
   */
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
      logger.warn(
        { eventId, userId, reason: refusalText(error) },
        "user could not be read from the store, admitting the client",
      );
    }
    return undefined;
  }
}
