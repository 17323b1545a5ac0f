// Builds the web console into one page with its script, style and icon, all loaded from where the page came from.
import { fileURLToPath } from "node:url";
import { build } from "vite";

const SOURCE = fileURLToPath(new URL("../src/console", import.meta.url));

/** @param {string} outDir replaced as a whole */
export async function buildConsole(outDir) {
  await build({
    configFile: false,
    root: SOURCE,
    // Relative, so that it also works below the path of a proxy.
    base: "./",
    logLevel: "warn",
    build: {
      outDir,
      emptyOutDir: true,
      license: { fileName: "licenses.md" },
      modulePreload: { polyfill: false },
      // Nothing inside of the page: a strict Content-Security-Policy forbids it.
      assetsInlineLimit: 0,
    },
  });
}
