import { durationMs } from "@bufbuild/protobuf/wkt";
import type { ReplicaStatus, RouterStatus } from "../../../gen/squelch/v1/fleet_service_pb.js";
import { lagsOf } from "../model/fleetStatus.js";
import { formatAge, formatCount, timeOf } from "../model/format.js";
import { linkTo } from "../model/route.js";
import { useConsole, useLive, useNow } from "./console.js";

/** The number of events that are named for a router that is behind. */
const MAX_NAMED = 3;

/** The replicas and routers of the fleet with their health and lag. */
export function FleetView() {
  const { fleet } = useConsole();
  useLive((console) => console.fleet.readMs);
  const problem = useLive((console) => console.fleet.problem);
  const ageMs = useNow(1_000) - fleet.readMs;
  const { answer } = fleet;
  const nowMs = timeOf(answer?.time) ?? 0;
  return (
    <div class="fleet">
      <h1>Fleet</h1>
      <p class="hint" role="status">
        {problem !== undefined ? `${problem.text} ` : ""}
        {answer !== undefined ? `Read ${formatAge(Math.max(ageMs, 0))} ago` : problem === undefined ? "Loading" : ""}
      </p>
      {answer !== undefined && (
        <>
          <section class="panel" aria-labelledby="replicas-title" data-stale={problem !== undefined}>
            <h2 id="replicas-title">Replicas ({answer.replicas.length})</h2>
            <div class="scroll">
              <table>
                <thead>
                  <tr>
                    <th scope="col">Replica</th>
                    <th scope="col">Feed</th>
                    <th scope="col">Watches</th>
                    <th scope="col">Events</th>
                    <th scope="col">Up for</th>
                    <th scope="col">Last report</th>
                    <th scope="col">Version</th>
                  </tr>
                </thead>
                <tbody>
                  {answer.replicas.map((replica) => (
                    <ReplicaRow key={replica.replicaId} replica={replica} nowMs={nowMs} />
                  ))}
                </tbody>
              </table>
            </div>
          </section>
          <section class="panel" aria-labelledby="routers-title" data-stale={problem !== undefined}>
            <h2 id="routers-title">Routers ({answer.routers.length})</h2>
            {answer.routers.length === 0 && <p class="empty">No router has reported in the last minute</p>}
            {answer.routers.length > 0 && (
              <div class="scroll">
                <table>
                  <thead>
                    <tr>
                      <th scope="col">Router</th>
                      <th scope="col">State</th>
                      <th scope="col">Events</th>
                      <th scope="col">Behind in</th>
                      <th scope="col">Connected to</th>
                      <th scope="col">Last report</th>
                    </tr>
                  </thead>
                  <tbody>
                    {answer.routers.map((router) => (
                      <RouterRow key={router.routerId} router={router} nowMs={nowMs} />
                    ))}
                  </tbody>
                </table>
              </div>
            )}
          </section>
        </>
      )}
    </div>
  );
}

function since(time: ReplicaStatus["lastSeen"], nowMs: number): string {
  const timeMs = timeOf(time);
  return timeMs === undefined ? "" : formatAge(Math.max(nowMs - timeMs, 0));
}

function ReplicaRow({ replica, nowMs }: { replica: ReplicaStatus; nowMs: number }) {
  const age =
    replica.feedAge === undefined ? "never proven" : `proven ${formatAge(durationMs(replica.feedAge))} before`;
  return (
    <tr data-state={replica.feedHealthy ? "free" : "paused"}>
      <th scope="row">
        <span class="lamp" aria-hidden="true" />
        {replica.replicaId}
        {replica.answering && <span class="mark">answers this page</span>}
      </th>
      <td>
        {replica.feedHealthy ? "healthy" : "not healthy"}, {age}
      </td>
      <td>{replica.watches}</td>
      <td>{replica.loadedEvents}</td>
      <td>{since(replica.startedAt, nowMs)}</td>
      <td>{since(replica.lastSeen, nowMs)} ago</td>
      <td>{replica.version}</td>
    </tr>
  );
}

function RouterRow({ router, nowMs }: { router: RouterStatus; nowMs: number }) {
  const { replicaIds } = router;
  const behind = lagsOf(router);
  const isAway = replicaIds.length === 0;
  const state = isAway ? "paused" : behind.length > 0 ? "speaking" : "free";
  return (
    <tr data-state={state}>
      <th scope="row">
        <span class="lamp" aria-hidden="true" />
        {router.routerId}
      </th>
      <td>{isAway ? "not connected" : behind.length > 0 ? "behind" : "up to date"}</td>
      <td>{router.events}</td>
      <td>
        {behind.slice(0, MAX_NAMED).map(({ eventId, revisions, age }) => (
          <div key={eventId}>
            <a href={linkTo({ page: "event", eventId })}>{eventId}</a>
            {revisions === undefined ? ": nothing confirmed" : `: ${formatCount(Number(revisions), "change")}`}
            {age !== undefined && ` for ${formatAge(durationMs(age))}`}
          </div>
        ))}
        {behind.length > MAX_NAMED && `and ${formatCount(behind.length - MAX_NAMED, "other event")}`}
      </td>
      <td>{replicaIds.join(", ")}</td>
      <td>{since(router.lastSeen, nowMs)} ago</td>
    </tr>
  );
}
