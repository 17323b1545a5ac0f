// Checks the layers of src/: a file may import only from its own layer and from the layers that LAYERS names for it. The
// layer of a file is the longest entry that its path starts with. So the layer src/server has only the files directly in
// that folder.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const PURE = ["src/domain", "src/lib"];
const BASE = [...PURE, "src/wire", "gen"];
const ROUTER = ["src/router/client", "src/router/relay", "src/router/reference"];
const ENGINES = ["src/engine/redis", "src/engine/memory"];

/** @type {Readonly<Record<string, readonly string[]>>} */
const LAYERS = {
  "src/cli": ["src/server", "src/server/config.ts", "src/server/configOptions.ts", "src/router", ...ROUTER, ...BASE],
  "src/server": [
    "src/server/contract.ts",
    "src/server/config.ts",
    "src/server/configOptions.ts",
    "src/server/auth",
    "src/server/rpc",
    "src/server/feed",
    "src/server/keepers",
    "src/server/state",
    "src/server/ops",
    ...ENGINES,
    ...BASE,
  ],
  "src/server/rpc": [
    "src/server/contract.ts",
    "src/server/auth",
    "src/server/feed",
    "src/server/keepers",
    "src/server/state",
    "src/server/ops",
    "src/server/config.ts",
    "src/server/configOptions.ts",
    ...BASE,
  ],
  "src/server/feed": [
    "src/server/keepers",
    "src/server/state",
    "src/server/ops",
    "src/server/config.ts",
    "src/server/configOptions.ts",
    ...BASE,
  ],
  "src/server/keepers": ["src/server/ops", ...BASE],
  "src/server/state": ["src/server/ops", "src/server/config.ts", "src/server/configOptions.ts", ...ENGINES, ...BASE],
  "src/server/ops": ["src/server/config.ts", "src/server/configOptions.ts", ...ENGINES, ...BASE],
  "src/server/contract.ts": ["gen"],
  "src/server/auth": [
    "src/server/contract.ts",
    "src/server/ops",
    "src/server/config.ts",
    "src/server/configOptions.ts",
    ...BASE,
  ],
  "src/server/config.ts": ["src/server/configOptions.ts", ...PURE],
  "src/server/configOptions.ts": PURE,
  "src/router": [...ROUTER, ...BASE],
  "src/router/reference": ["src/router/relay", "src/router/client", ...BASE],
  "src/router/relay": ["src/router/client", ...BASE],
  "src/router/client": BASE,
  "src/console": BASE,
  "src/engine/redis": PURE,
  "src/engine/memory": PURE,
  "src/wire": ["src/domain", "gen"],
  "src/domain": ["src/lib"],
  "src/lib": [],
  gen: [],
};

const IMPORT = /(?:\bfrom|\bimport)\s*\(?\s*["'](\.[^"']*)["']/g;

/** @param {string} path */
function layerOf(path) {
  return Object.keys(LAYERS)
    .filter((layer) => path === layer || path.startsWith(`${layer}/`))
    .sort((a, b) => b.length - a.length)[0];
}

/**
 * Returns one line for each import of a file that its layer forbids.
 *
 * @param {string} path from the root of the repository
 * @param {string} source
 * @returns {string[]}
 */
export function findLayerBreaks(path, source) {
  const layer = layerOf(path);
  if (layer === undefined) return [`${path}: does not belong to a layer of scripts/checkLayers.mjs`];
  return [...source.matchAll(IMPORT)].flatMap(([, specifier = ""]) => {
    const target = normalize(join(dirname(path), specifier)).replace(/\.js$/, ".ts");
    const targetLayer = layerOf(target) ?? "no layer";
    if (targetLayer === layer || LAYERS[layer]?.includes(targetLayer)) return [];
    return [`${path}: imports ${target}, but ${layer} must not import from ${targetLayer}`];
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.chdir(fileURLToPath(new URL("..", import.meta.url)));
  const breaks = readdirSync("src", { recursive: true, encoding: "utf8" })
    .filter((name) => /\.tsx?$/.test(name))
    .flatMap((name) => findLayerBreaks(`src/${name}`, readFileSync(`src/${name}`, "utf8")));
  for (const line of breaks) console.error(line);
  process.exitCode = breaks.length > 0 ? 1 : 0;
}
