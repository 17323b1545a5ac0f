import { type Duration, durationMs, type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { GetFleetStatusResponse, ReplicaStatus, RouterStatus } from "../../../gen/squelch/v1/fleet_service_pb.js";
import { type Output, printable } from "./output.js";

const seconds = (ms: number) => `${(Math.max(ms, 0) / 1_000).toFixed(1)} s`;
const ago = (time: Timestamp | undefined, nowMs: number) =>
  time === undefined ? "-" : `${seconds(nowMs - timestampMs(time))} ago`;
const lasting = (age: Duration | undefined) => (age === undefined ? "" : ` for ${seconds(durationMs(age))}`);

/** Prints a table of replicas with the health of their feeds, and a table of routers with their largest lag. */
export async function showFleet(output: Output, { replicas, routers, time }: GetFleetStatusResponse): Promise<void> {
  const nowMs = time === undefined ? 0 : timestampMs(time);
  await output.table(
    ["REPLICA", "GRPC", "FEED", "WATCHES", "EVENTS", "REPORTED"],
    replicas.map((replica) => replicaRow(replica, nowMs)),
  );
  if (routers.length === 0) {
    await output.line("no router has reported in the last minute");
    return;
  }
  await output.table(
    ["ROUTER", "CONNECTED", "EVENTS", "BEHIND IN", "MOST BEHIND", "REPORTED"],
    routers.map((router) => routerRow(router, nowMs)),
  );
}

function replicaRow(replica: ReplicaStatus, nowMs: number): string[] {
  const { replicaId, grpcAddress, feedHealthy, feedProblem, watches, loadedEvents, lastSeen } = replica;
  const feed = feedHealthy ? "healthy" : `not healthy${feedProblem && `: ${feedProblem}`}`;
  return [replicaId, grpcAddress, feed, String(watches), String(loadedEvents), ago(lastSeen, nowMs)].map(printable);
}

function routerRow({ routerId, replicaIds, events, behind, lastSeen }: RouterStatus, nowMs: number): string[] {
  // The largest lag is one without a confirmed change, or one with an unconfirmed change that has left the log.
  const weight = (age: Duration | undefined) => (age === undefined ? Number.POSITIVE_INFINITY : durationMs(age));
  const [worst] = [...behind].sort((a, b) => weight(b.age) - weight(a.age));
  const changes = worst?.revisions === undefined ? "nothing confirmed" : `${worst.revisions} unconfirmed`;
  const most = worst === undefined ? "-" : `${worst.eventId}: ${changes}${lasting(worst.age)}`;
  const connected = replicaIds.length === 0 ? "no" : replicaIds.join(", ");
  return [routerId, connected, String(events), String(behind.length), most, ago(lastSeen, nowMs)].map(printable);
}
