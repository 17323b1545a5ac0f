import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runProgram } from "../childProcess.js";

const CONFIG = `[ca]
default_ca = it
[it]
database = index
serial = serial
crlnumber = crlnumber
new_certs_dir = .
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
[any]
commonName = supplied
organizationalUnitName = optional
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:true
keyUsage = keyCertSign, cRLSign
`;

/** A CA of client certificates in its own folder, made with openssl. */
export interface ClientCa {
  /** The certificate of the CA, PEM. */
  readonly certificate: Buffer;
  /** Signs a certificate for a caller with one scope. */
  issue(name: string, scope: string, lifetimeMs?: number): Promise<{ cert: Buffer; key: Buffer }>;
  revoke(name: string): Promise<void>;
  /** The list of revoked certificates, PEM. */
  revocations(): Promise<Buffer>;
}

/** @param folder where to make a folder named after the CA */
export async function createClientCa(folder: string, name: string): Promise<ClientCa> {
  const cwd = join(folder, name);
  mkdirSync(cwd);
  for (const [file, text] of Object.entries({ "ca.cnf": CONFIG, index: "", serial: "01\n", crlnumber: "01\n" })) {
    writeFileSync(join(cwd, file), text);
  }
  const openssl = (...args: string[]) => runProgram("openssl", args, { cwd });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-config", "ca.cnf"];
  const read = (file: string) => readFileSync(join(cwd, file));
  const ca = ["-config", "ca.cnf", "-keyfile", "ca.key", "-cert", "ca.crt"];
  const root = ["-subj", `/CN=${name}`, "-keyout", "ca.key", "-out", "ca.crt", "-days", "30"];
  await openssl("req", "-x509", ...newKey, ...root, "-extensions", "authority");
  return {
    certificate: read("ca.crt"),
    async issue(caller, scope, lifetimeMs = 86_400_000) {
      const subject = ["-subj", `/OU=${scope}/CN=${caller}`, "-keyout", `${caller}.key`, "-out", `${caller}.csr`];
      await openssl("req", ...newKey, ...subject);
      const end = new Date(Date.now() + lifetimeMs).toISOString().replace(/[-:T]|\.\d+/g, "");
      const lifetime = ["-startdate", "20200101000000Z", "-enddate", end];
      await openssl("ca", "-batch", "-notext", ...ca, ...lifetime, "-in", `${caller}.csr`, "-out", `${caller}.crt`);
      return { cert: read(`${caller}.crt`), key: read(`${caller}.key`) };
    },
    async revoke(caller) {
      await openssl("ca", ...ca, "-revoke", `${caller}.crt`);
    },
    async revocations() {
      await openssl("ca", ...ca, "-gencrl", "-out", "crl.pem");
      return read("crl.pem");
    },
  };
}
