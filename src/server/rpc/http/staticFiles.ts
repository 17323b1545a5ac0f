import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { extname, join, sep } from "node:path";

/** Answers a request with a file. Returns false if there is no such file. */
export type StaticFiles = (path: string, request: IncomingMessage, response: ServerResponse) => boolean;

interface StaticFile {
  body: Buffer;
  headers: Record<string, string>;
}

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
};

/** Allows the page to load, run and contact only files and calls of this replica, and forbids other pages to frame it. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS = {
  "content-security-policy": CONTENT_SECURITY_POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
};

/**
 * Reads the files of a folder into memory and serves them. The path of a page without a file is a view of the console,
 * so the answer is `index.html`. Files in `assets/` have their hash in their names, so browsers may keep them for ever.
 * Browsers ask for all other files again each time, by their ETag.
 *
 * @returns undefined if the folder has no `index.html`
 */
export function createStaticFiles(folder: string): StaticFiles | undefined {
  const files = readFiles(folder);
  const index = files.get("/index.html");
  if (index === undefined) return undefined;
  return (path, request, response) => {
    const isPlace = path === "/" || request.headers.accept?.includes("text/html") === true;
    const file = files.get(path) ?? (isPlace ? index : undefined);
    if (file === undefined) return false;
    const isKnown = request.headers["if-none-match"] === file.headers.etag;
    response.writeHead(isKnown ? 304 : 200, file.headers);
    response.end(isKnown || request.method === "HEAD" ? undefined : file.body);
    return true;
  };
}

function readFiles(folder: string): Map<string, StaticFile> {
  const files = new Map<string, StaticFile>();
  for (const entry of listFolder(folder)) {
    const path = `/${entry.split(sep).join("/")}`;
    const type = CONTENT_TYPES[extname(path)];
    // Leaves out source maps and other files that are not for browsers.
    if (type === undefined) continue;
    const body = readFileSync(join(folder, entry));
    const etag = `"${createHash("sha256").update(body).digest("base64url")}"`;
    const isHashed = path.startsWith("/assets/");
    const cacheControl = isHashed ? "public, max-age=31536000, immutable" : "no-cache";
    files.set(path, { body, headers: { ...HEADERS, "content-type": type, "cache-control": cacheControl, etag } });
  }
  return files;
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: "utf8" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
