import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { DEFAULT_EVENT_LIMITS } from "../../../src/domain/eventLimits.js";
import { layouts } from "../../../src/engine/redis/keys.js";
import { contextOf } from "../../../src/engine/redis/scripts/eventScripts.js";
import { dropUnused, resolveIncludes } from "../../../src/engine/redis/scripts/includes.js";

const FOLDER = new URL("../../../src/engine/redis/lua/", import.meta.url);
const read = (file: string) => readFileSync(new URL(file, FOLDER), "utf8");
const files = readdirSync(FOLDER, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".lua"));
const shared = files.filter((file) => file.startsWith("shared/"));
const scripts = files.filter((file) => !file.startsWith("shared/"));

describe("includes of Lua files", () => {
  const readFrom = (texts: Record<string, string>) => (name: string) => texts[name] ?? "";

  it("are resolved in included files, too, each file once, where it is first included", () => {
    const readShared = readFrom({ a: "-- @include c\na()\n", b: "-- @include c\n-- @include a\nb()\n", c: "c()\n" });
    expect(resolveIncludes("-- @include a\n-- @include b\nmain()\n", readShared)).toBe("c()\na()\nb()\nmain()\n");
  });

  it("in a circle are refused, and the error names the circle", () => {
    const readShared = readFrom({ a: "-- @include b\n", b: "-- @include a\n" });
    expect(() => resolveIncludes("-- @include a\n", readShared)).toThrow("Lua files include each other: a → b → a");
  });

  it("bring only the functions that the script uses, directly or through others", () => {
    const lua =
      "local function a()\nend\n-- b\nlocal function b()\n  return b\nend\nlocal function c()\n  a()\nend\nc()\n";
    expect(dropUnused(lua)).toBe("local function a()\nend\nlocal function c()\n  a()\nend\nc()\n");
  });
});

describe("Lua files", () => {
  it.each(shared)("%s writes nothing on being included", (file) => {
    const outside = read(file).replace(/^local function [\s\S]*?^end\n/gm, "");
    expect(outside).not.toMatch(/redis\.p?call|^(?!local|--|\s|\}|$)/m);
  });

  it.each(scripts.filter((file) => read(file).includes("begin_epoch_if_lost()")))(
    "%s calls its writes by name first, and each answer has the reason of a new epoch",
    (file) => {
      const body = read(file);
      const main = body
        .replace(/^local function [\s\S]*?^end\n/gm, "")
        .replace(/^.*function\(.*\)\n[\s\S]*?^end\).*\n/gm, "")
        .replace(/^ *--.*\n/gm, "");
      const names = main.slice(main.indexOf("begin_epoch_if_lost()"));
      expect(names).toContain("end_expired_pause()");
      const returns = names.match(/^(?: {2})?(?:if .* then )?return .*/gm) ?? [];
      for (const line of returns) expect(line).toMatch(/return answer\(/);
      expect(main.trimEnd().split("\n").slice(-3).join("\n")).toContain("return answer(");
    },
  );

  it("shared/base.lua reads the context in the order in which it is written", () => {
    const written = Object.keys(contextOf("e", layouts.legacy, DEFAULT_EVENT_LIMITS, true, false));
    const fields = [...read("shared/base.lua").matchAll(/^ {2}(\w+) = .*ARGV\[last_argument \+ (\d+)\]/gm)];
    expect(fields.map(([, name]) => name)).toEqual([...written, "newestTicket", "ticket"]);
    expect(fields.map(([, , place]) => Number(place))).toEqual(fields.map((_, index) => index + 1));
    expect(read("shared/base.lua")).toContain(`local last_argument = #ARGV - ${fields.length}`);
  });
});
