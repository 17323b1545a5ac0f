import { createRequire } from "node:module";
import { dirname } from "node:path";

const require = createRequire(import.meta.url);

/** The version of Squelch, as its package says. */
export const { version } = require("squelch-ptt/package.json") as { version: string };

/** Where the package is installed. */
export const PACKAGE_FOLDER = dirname(require.resolve("squelch-ptt/package.json"));
