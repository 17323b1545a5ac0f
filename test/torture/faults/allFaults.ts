import type { StandaloneStore } from "../stores/standaloneStore.js";
import { DEMOTION_FAULTS } from "./demotionFaults.js";
import type { FaultKind } from "./fault.js";
import { LINK_FAULTS } from "./linkFaults.js";
import { MESSAGE_FAULTS } from "./messageFaults.js";
import { REDIS_FAULTS } from "./redisFaults.js";
import { PROVOKED_REFUSALS } from "./refusals/provokedRefusals.js";
import { PROXIED_REFUSALS } from "./refusals/proxiedRefusals.js";
import { REPLICA_FAULTS } from "./replicaFaults.js";

/** Every fault of a fleet on one Redis. */
export const FAULTS: readonly FaultKind<StandaloneStore>[] = [
  ...REPLICA_FAULTS,
  ...REDIS_FAULTS,
  ...LINK_FAULTS,
  ...MESSAGE_FAULTS,
  ...PROVOKED_REFUSALS,
  ...PROXIED_REFUSALS,
  ...DEMOTION_FAULTS,
];

/** Those of a fleet of which control planes publish to another Redis: what the state has lost is no loss of theirs. */
export const FAULTS_APART: readonly FaultKind<StandaloneStore>[] = FAULTS.filter(({ losesData }) => !losesData);
