import { createRequire } from "node:module";
import { dirname } from "node:path";

const require = createRequire(import.meta.url);

/** The version of Squelch, from its package.json. */
export const { version } = require("squelch-ptt/package.json") as { version: string };

/** The folder in which the package is installed. */
export const PACKAGE_FOLDER = dirname(require.resolve("squelch-ptt/package.json"));
