import type { StandaloneStore } from "../stores/standaloneStore.js";
import { DEMOTION_FAULTS } from "./demotionFaults.js";
import type { FaultKind } from "./fault.js";
import { LINK_FAULTS } from "./linkFaults.js";
import { MESSAGE_FAULTS } from "./messageFaults.js";
import { REDIS_FAULTS } from "./redisFaults.js";
import { PROVOKED_REFUSALS } from "./refusals/provokedRefusals.js";
import { PROXIED_REFUSALS } from "./refusals/proxiedRefusals.js";
import { REPLICA_FAULTS } from "./replicaFaults.js";

/** Faults in which a process or a connection fails. */
export const LOSSES: readonly FaultKind<StandaloneStore>[] = [
  ...REPLICA_FAULTS,
  ...REDIS_FAULTS,
  ...LINK_FAULTS,
  ...MESSAGE_FAULTS,
];

/** Faults in which Redis answers and refuses commands. */
export const REFUSALS: readonly FaultKind<StandaloneStore>[] = [
  ...PROVOKED_REFUSALS,
  ...PROXIED_REFUSALS,
  ...DEMOTION_FAULTS,
];

/** Every fault of a fleet on one Redis. */
export const FAULTS: readonly FaultKind<StandaloneStore>[] = [...LOSSES, ...REFUSALS];

/** Faults of a fleet in which control planes publish to another Redis. That Redis keeps the data that the state loses. */
export const FAULTS_APART: readonly FaultKind<StandaloneStore>[] = FAULTS.filter(({ losesData }) => !losesData);
