import { checkConvergence } from "./laws/convergence.js";
import { checkDelivery } from "./laws/delivery.js";
import { checkHonesty } from "./laws/honesty.js";
import { checkIsolation } from "./laws/isolation.js";
import { checkLatest } from "./laws/latest.js";
import { checkOrder } from "./laws/order.js";
import { checkRefusals } from "./laws/refusals.js";
import type { Law, Violation } from "./laws/violation.js";
import type { History } from "./record/history.js";

const LAWS: readonly Law[] = [
  checkConvergence,
  checkOrder,
  checkDelivery,
  checkLatest,
  checkIsolation,
  checkHonesty,
  checkRefusals,
];

/** Returns every broken guarantee in the record of a fleet, in the order of the guarantees. */
export function check(history: History): Violation[] {
  return LAWS.flatMap((law) => law(history));
}

/** Describes some of many violations, one per line. */
export function describeViolations(violations: readonly Violation[], most = 10): string {
  const lines = violations.slice(0, most).map(({ law, text, at }) => `${law} at ${Math.round(at)} ms: ${text}`);
  if (violations.length > most) lines.push(`and ${violations.length - most} more`);
  return lines.join("\n");
}
