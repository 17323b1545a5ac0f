import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createStaticFiles } from "../../../src/server/rpc/http/staticFiles.js";

let folder: string;
let server: Server;
let url: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "squelch-console-"));
  mkdirSync(join(folder, "assets"));
  writeFileSync(join(folder, "index.html"), "<!doctype html>");
  writeFileSync(join(folder, "assets", "main-1a2b.js"), "void 0;");
  writeFileSync(join(folder, "assets", "main-1a2b.js.map"), "{}");
  const files = createStaticFiles(folder);
  server = createServer((request, response) => {
    if (!files?.(request.url as string, request, response)) response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true });
});

it("serves the page at / and at paths within it, without caching", async () => {
  for (const path of ["/", "/index.html", "/events/festival"]) {
    const answer = await fetch(`${url}${path}`, { headers: { accept: "text/html" } });
    expect(await answer.text()).toBe("<!doctype html>");
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-cache",
      "content-security-policy": expect.stringContaining("default-src 'none'"),
      "x-content-type-options": "nosniff",
    });
    const headers = { accept: "text/html", "if-none-match": answer.headers.get("etag") as string };
    const again = await fetch(`${url}${path}`, { headers });
    expect([again.status, await again.text()]).toEqual([304, ""]);
  }
});

it("serves assets with unlimited caching, and no other kind of file", async () => {
  const asset = await fetch(`${url}/assets/main-1a2b.js`);
  expect([asset.status, await asset.text()]).toEqual([200, "void 0;"]);
  expect(asset.headers.get("cache-control")).toContain("immutable");
  expect(asset.headers.get("content-type")).toBe("text/javascript; charset=utf-8");
  const head = await fetch(`${url}/assets/main-1a2b.js`, { method: "HEAD" });
  expect([head.status, await head.text()]).toEqual([200, ""]);
  for (const path of [
    "/assets/main-1a2b.js.map",
    "/assets/nothing.js",
    "/assets/../../secret",
    "/assets/%2e%2e/x.js",
  ]) {
    expect((await fetch(`${url}${path}`)).status, path).toBe(404);
  }
});

it("serves nothing if the page is not built", () => {
  expect(createStaticFiles(join(folder, "nothing"))).toBeUndefined();
});
