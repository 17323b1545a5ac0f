import { layOutFields, scanFields } from "./scanFields.js";

// The few messages of etcd's API v3 that the benchmark needs. Field numbers are those of its rpc.proto and kv.proto.

export const WATCH_PATH = "/etcdserverpb.Watch/Watch";
export const PUT_PATH = "/etcdserverpb.KV/Put";
/** The number of the field `events` in a WatchResponse. */
export const EVENTS_FIELD = 11;

const KEY_FIELD = 1;
const RANGE_END_FIELD = 2;
const CREATE_REQUEST_FIELD = 1;
const PUT_VALUE_FIELD = 2;
const EVENT_KV_FIELD = 2;
const KV_VALUE_FIELD = 5;

const prefixOf = (eventId: string) => `${eventId}/`;

/** Encodes a WatchRequest for all keys of an event. */
export function watchPrefix(eventId: string): Buffer {
  const prefix = prefixOf(eventId);
  const end = prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
  const create = layOutFields([
    [KEY_FIELD, prefix],
    [RANGE_END_FIELD, end],
  ]);
  return layOutFields([[CREATE_REQUEST_FIELD, create]]);
}

/** Encodes a PutRequest for one key of an event. */
export function put(eventId: string, key: string, value: string): Buffer {
  return layOutFields([
    [KEY_FIELD, prefixOf(eventId) + key],
    [PUT_VALUE_FIELD, value],
  ]);
}

/** Returns the value in an Event. */
export function readValue(event: Buffer): string {
  let value = "";
  scanFields(event, 0, event.length, EVENT_KV_FIELD, (from, to) =>
    scanFields(event, from, to, KV_VALUE_FIELD, (start, end) => {
      value = event.toString("utf8", start, end);
    }),
  );
  return value;
}
