import type { StandaloneStore } from "../stores/standaloneStore.js";
import type { FaultKind } from "./fault.js";
import { LINK_FAULTS } from "./linkFaults.js";
import { MESSAGE_FAULTS } from "./messageFaults.js";
import { REDIS_FAULTS } from "./redisFaults.js";
import { REPLICA_FAULTS } from "./replicaFaults.js";

/** Every fault of a fleet on one Redis. */
export const FAULTS: readonly FaultKind<StandaloneStore>[] = [
  ...REPLICA_FAULTS,
  ...REDIS_FAULTS,
  ...LINK_FAULTS,
  ...MESSAGE_FAULTS,
];
