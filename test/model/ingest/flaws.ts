/**
 * Mistakes in the ingest protocol. Tests switch them on in the model one at a time, and each must be found. The
 * mistakes of the second part are not obvious: a quick reading of the protocol suggests them.
 */
export const FLAWS = {
  "equal position applies": "a position equal to the stored one applies",
  "positions without count": "positions are compared by generation alone",
  "malformed not counted": "one replica does not count malformed messages",
  "early messages taken": "a replica does not wait for the first ticket of its connection",
  "early messages all taken": "a replica applies each message before the first ticket, not only the newest of a user",
  "early messages counted":
    "a message before the first ticket comes as early after the ticket before it as messages do",
  "clock alone": "a ticket is Redis's clock, whatever the last ticket was",
  "rpc ticket late": "a write over RPC raises the counter, but its ticket is published in a later step",
  "position kept if equal": "a write without difference leaves the stored position as it is",
  "emptied users forgotten": "a user without channels loses the entry",
  "position floor ignored": "a position at or below the position floor of a sync applies",
  "not repeated": "a batch of unknown outcome is not applied again",
  "raised unapplied": "the watermark is raised to the newest ticket seen, whatever still waits",
  "raised from above": "the watermark is raised by a replica whose subscription began above it",
  "keys read first": "a reconcile reads the keys before it takes its ticket",
  "keys read once": "a reconcile does not read an empty or smaller set again",
  "rpc overwritten": "a reconcile overwrites what came over RPC",

  "equal keys skipped": "a reconcile does not raise the position where key and state agree",
  "sync forgotten": "a reconcile takes a user without an entry for unknown although a sync has spoken for everybody",
  "rpc mark only on change": "a write over RPC without difference does not mark the entry as written over RPC",
  "emptied entries overlooked":
    "a missing key revokes in the one event where the user has channels, without regard to empty entries",
  "keys teach channels": "a reconcile assigns a channel without a known event to the event of the other channels",
  "seed at a ticket": "a write only for the unknown is as new as any other write over RPC",
  "epoch position floor": "a new epoch raises the position floor to a fresh ticket",
  "epoch position floor at opening":
    "a new epoch raises the position floor to the start of the noticing replica's subscription",
  "lag taken for loss": "a replica repeats an update at a new ticket if the stored position is above its newest ticket",
  "refused is final":
    "if ticket and state are on different servers, a refused write over RPC is not repeated at a new ticket",
  "raised though lost": "after a reconcile the watermark is raised, even if the state was emptied meanwhile",
} as const;

export type Flaw = keyof typeof FLAWS;
