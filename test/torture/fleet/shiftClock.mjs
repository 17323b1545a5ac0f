// Loaded before a program (`node --import`): its clock is wrong by SHIFT_CLOCK_MS.
const shiftMs = Number(process.env.SHIFT_CLOCK_MS);
const RealDate = Date;

globalThis.Date = /** @type {DateConstructor} */ (
  /** @type {unknown} */ (
    class extends RealDate {
      /** @param {any[]} args */
      constructor(...args) {
        if (args.length === 0) super(RealDate.now() + shiftMs);
        else super(.../** @type {[number]} */ (args));
      }

      /** @override */
      static now() {
        return RealDate.now() + shiftMs;
      }
    }
  )
);
