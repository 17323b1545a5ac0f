import { execFileSync, spawnSync } from "node:child_process";

/** The system's browser. */
export const CHROMIUM = "/usr/bin/chromium";

/** The system's Python, which can import the packages of the system. A Python on the PATH may not be able to. */
export const PYTHON = "/usr/bin/python3";

/** Debian's proxies, in a folder that is only on the PATH of the superuser. */
export const NGINX = "/usr/sbin/nginx";
export const HAPROXY = "/usr/sbin/haproxy";

const REQUIREMENTS: readonly { command: string[]; packages: string[] }[] = [
  { command: ["redis-server", "--version"], packages: ["redis-server"] },
  { command: ["redis-cli", "--version"], packages: ["redis-tools"] },
  { command: [PYTHON, "-c", "import grpc, google.protobuf"], packages: ["python3-grpcio", "python3-protobuf"] },
  { command: [CHROMIUM, "--version"], packages: ["chromium"] },
  { command: [NGINX, "-v"], packages: ["nginx-light"] },
  { command: [HAPROXY, "-v"], packages: ["haproxy"] },
  { command: ["openssl", "version"], packages: ["openssl"] },
  { command: ["protoc", "--version"], packages: ["protobuf-compiler"] },
  // The types that every schema may import. They are in a separate package of Debian.
  { command: ["test", "-e", "/usr/include/google/protobuf/timestamp.proto"], packages: ["libprotobuf-dev"] },
  { command: ["sh", "-c", "command -v grpc_python_plugin"], packages: ["protobuf-compiler-grpc"] },
  { command: ["go", "version"], packages: ["golang-go"] },
  { command: ["sh", "-c", "command -v protoc-gen-go"], packages: ["protoc-gen-go"] },
  { command: ["sh", "-c", "command -v protoc-gen-go-grpc"], packages: ["protoc-gen-go-grpc"] },
  {
    command: ["test", "-d", "/usr/share/gocode/src/google.golang.org/genproto"],
    packages: ["golang-google-grpc-dev", "golang-google-genproto-dev"],
  },
  { command: ["javac", "-version"], packages: ["default-jdk-headless"] },
  { command: ["test", "-e", "/usr/share/java/protobuf.jar"], packages: ["libprotobuf-java"] },
];

function succeeds([program = "", ...args]: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: "ignore" }).status === 0;
}

function missingPackages(): string[] {
  return REQUIREMENTS.filter(({ command }) => !succeeds(command)).flatMap(({ packages }) => packages);
}

/**
 * Makes sure that the programs which the tests start are installed. Missing ones are installed with apt-get if
 * possible; otherwise it throws an error that explains how to install them.
 */
export function ensureSystemPackages(): void {
  const packages = missingPackages();
  if (packages.length === 0) return;
  const mayInstall = process.getuid?.() === 0 && succeeds(["apt-get", "--version"]);
  if (mayInstall) {
    const options = { stdio: "inherit", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } } as const;
    execFileSync("apt-get", ["update"], options);
    execFileSync("apt-get", ["install", "--yes", "--no-install-recommends", ...packages], options);
  }
  const missing = missingPackages();
  if (missing.length > 0) {
    throw new Error(
      `The tests need programs that are not installed. On Debian: sudo apt-get install ${missing.join(" ")}\n` +
        "Elsewhere: Redis 7, openssl, protoc with google/protobuf in /usr/include, grpc_python_plugin, Go with protoc-gen-go, protoc-gen-go-grpc and the packages of gRPC in /usr/share/gocode, a JDK with /usr/share/java/protobuf.jar, a Chromium at /usr/bin/chromium, nginx and HAProxy in /usr/sbin, and a /usr/bin/python3 with grpcio and protobuf.",
    );
  }
}
