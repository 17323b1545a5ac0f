// Adds missing optional packages for other platforms to package-lock.json. npm leaves them out if its registry does not
// have them, and `npm ci` then refuses the lock file. Run this after `npm install` with such a registry. A test fails when
// it is needed.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const CPUS = {
  arm64: "arm64",
  x64: "x64",
  ppc64: "ppc64",
  riscv64: "riscv64",
  s390x: "s390x",
  ia32: "ia32",
  arm: "arm",
};

/**
 * @typedef {object} LockedPackage
 * @property {string} [version]
 * @property {boolean} [dev]
 * @property {boolean} [optional]
 * @property {string[]} [os]
 * @property {string[]} [cpu]
 * @property {string[]} [libc]
 * @property {Record<string, string>} [optionalDependencies]
 *
 * @typedef {{ packages: Record<string, LockedPackage> }} Lock
 */

/**
 * Returns the optional packages that the lock file names but does not contain, by name.
 *
 * @param {Lock} lock
 * @returns {Map<string, LockedPackage>}
 */
export function findMissing(lock) {
  const present = new Set(Object.keys(lock.packages).map((path) => path.split("node_modules/").at(-1)));
  const missing = new Map();
  for (const { dev, optionalDependencies = {} } of Object.values(lock.packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      if (present.has(name)) continue;
      const { os, cpu, libc } = platformOf(name);
      // The order that npm uses.
      missing.set(name, { version, cpu, ...(dev && { dev }), ...(libc && { libc }), optional: true, os });
    }
  }
  return missing;
}

/**
 * @param {string} name such as `@scope/package-linux-x64-musl`
 * @returns {{ os: string[], cpu: string[], libc: string[] | undefined }}
 */
function platformOf(name) {
  const os = /android|darwin|freebsd|linux|openharmony|win32/.exec(name)?.[0];
  const cpu = Object.entries(CPUS).find(([word]) => name.includes(`-${word}`))?.[1];
  if (os === undefined || cpu === undefined) throw new Error(`${name} has no platform in its name`);
  const abi = os === "linux" ? /musl|gnu/.exec(name)?.[0] : undefined;
  const libc = abi === undefined ? undefined : [abi === "musl" ? "musl" : "glibc"];
  return { os: [os], cpu: [cpu], libc };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const path = fileURLToPath(new URL("../package-lock.json", import.meta.url));
  /** @type {Lock} */
  const lock = JSON.parse(readFileSync(path, "utf8"));
  for (const [name, entry] of findMissing(lock)) lock.packages[`node_modules/${name}`] = entry;
  const sorted = Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, "en"));
  lock.packages = Object.fromEntries(sorted);
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
}
