import type { History } from "../record/history.js";
import { RouterPicture } from "../record/routerPicture.js";
import type { Violation } from "./violation.js";

/**
 * G2: revisions ascend without gaps, never go back within an epoch, and a new epoch comes with a snapshot. With it what
 * belongs to G3: a checkpoint never says that something was delivered which was not (pitfall 27).
 */
export function checkOrder({ routers }: History): Violation[] {
  return [...routers].flatMap(([router, records]) => {
    const picture = new RouterPicture();
    return records.flatMap((record) =>
      picture.take(record).map(({ law, text }): Violation => ({ law, at: record.at, text: `${router}: ${text}` })),
    );
  });
}
