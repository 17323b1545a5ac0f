// Builds the web console: one page with its script, style and icon. The page loads all of them from its own server.
import { fileURLToPath } from "node:url";
import { build } from "vite";

const SOURCE = fileURLToPath(new URL("../src/console", import.meta.url));

/** @param {string} outDir the output folder; its old content is deleted */
export async function buildConsole(outDir) {
  await build({
    configFile: false,
    root: SOURCE,
    // Relative paths, so that the page also works if a proxy adds a path.
    base: "./",
    logLevel: "warn",
    build: {
      outDir,
      emptyOutDir: true,
      license: { fileName: "licenses.md" },
      modulePreload: { polyfill: false },
      // No inline scripts and styles: the strict Content-Security-Policy of the page forbids them.
      assetsInlineLimit: 0,
    },
  });
}
