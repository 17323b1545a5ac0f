// The enums of the floor, as messages and as the domain name them. Servers and clients translate with these maps alone.
import {
  FloorDenyCause as DenyCauseMessage,
  FloorPriority as PriorityMessage,
  FloorRevokeCause as RevokeCauseMessage,
} from "../../gen/squelch/v1/model_pb.js";
import type { FloorDenyCause, FloorPriority, FloorRevokeCause } from "../domain/floor.js";

const priorities: Readonly<Record<FloorPriority, PriorityMessage>> = {
  normal: PriorityMessage.NORMAL,
  dispatch: PriorityMessage.DISPATCH,
  imminentPeril: PriorityMessage.IMMINENT_PERIL,
  emergency: PriorityMessage.EMERGENCY,
};

const denyCauses: Readonly<Record<FloorDenyCause, DenyCauseMessage>> = {
  anotherHasPermission: DenyCauseMessage.ANOTHER_HAS_PERMISSION,
  retryAfter: DenyCauseMessage.RETRY_AFTER,
  receiveOnly: DenyCauseMessage.RECEIVE_ONLY,
  queueFull: DenyCauseMessage.QUEUE_FULL,
};

const revokeCauses: Readonly<Record<FloorRevokeCause, RevokeCauseMessage>> = {
  talkedTooLong: RevokeCauseMessage.TALKED_TOO_LONG,
  noPermission: RevokeCauseMessage.NO_PERMISSION,
  preEmpted: RevokeCauseMessage.PRE_EMPTED,
  other: RevokeCauseMessage.OTHER,
};

const priorityNames = invert(priorities);
const denyCauseNames = invert(denyCauses);
const revokeCauseNames = invert(revokeCauses);

export function toPriorityMessage(priority: FloorPriority): PriorityMessage {
  return priorities[priority];
}

export function toDenyCauseMessage(cause: FloorDenyCause): DenyCauseMessage {
  return denyCauses[cause];
}

export function toRevokeCauseMessage(cause: FloorRevokeCause): RevokeCauseMessage {
  return revokeCauses[cause];
}

/** Returns the domain's priority; undefined for the unspecified one and for one that this version does not know. */
export function priorityOf(message: PriorityMessage): FloorPriority | undefined {
  return priorityNames.get(message);
}

/** Returns the domain's cause; undefined for the unspecified one and for one that this version does not know. */
export function denyCauseOf(message: DenyCauseMessage): FloorDenyCause | undefined {
  return denyCauseNames.get(message);
}

/** Returns the domain's cause; undefined for the unspecified one and for one that this version does not know. */
export function revokeCauseOf(message: RevokeCauseMessage): FloorRevokeCause | undefined {
  return revokeCauseNames.get(message);
}

function invert<K extends string, V extends number>(messages: Readonly<Record<K, V>>): ReadonlyMap<V, K> {
  return new Map(Object.entries<V>(messages).map(([name, message]) => [message, name as K]));
}
