import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { PermissionService } from "../../gen/squelch/v1/permission_service_pb.js";
import type { Replica } from "../../src/server/start.js";
import { runProgram } from "../support/childProcess.js";
import { startSquelch } from "../support/startSquelch.js";
import { PYTHON } from "../support/systemPackages.js";

const PROTOBUF_JAR = "/usr/share/java/protobuf.jar";
const DEBIAN_GO_PATH = "/usr/share/gocode";
const COMPILE_TIMEOUT_MS = 240_000;

let directory: string;
let replica: Replica;
let contract: string[];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "squelch-generated-"));
  replica = await startSquelch({});
  contract = (await readdir("proto/squelch/v1")).map((name) => `squelch/v1/${name}`);
});
afterAll(async () => {
  await replica.close();
  await rm(directory, { recursive: true });
});

/** Runs protoc on the contract, and on the messages of Google if `withErrors` is set. */
async function generate(folder: string, options: string[], withErrors = false): Promise<string> {
  const out = join(directory, folder);
  await mkdir(out, { recursive: true });
  const google = withErrors ? ["google/rpc/status.proto", "google/rpc/error_details.proto"] : [];
  const roots = ["-I", "proto", "-I", "proto-google"];
  await runProgram("protoc", [...roots, ...options.map((option) => `${option}=${out}`), ...contract, ...google]);
  return out;
}

/** What each program prints about the error of a call without a user id. */
const EXPECTED = { reason: "INVALID_FIELD", domain: "squelch", field: "user_id", violation: "user_id" };

const PYTHON_PROGRAM = `
import json, sys
import grpc
from google.rpc import error_details_pb2, status_pb2
from squelch.v1 import permission_service_pb2, permission_service_pb2_grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    stub = permission_service_pb2_grpc.PermissionServiceStub(channel)
    try:
        stub.GetUserPermissions(permission_service_pb2.GetUserPermissionsRequest(event_id="e"))
    except grpc.RpcError as error:
        trailer = dict(error.trailing_metadata())["grpc-status-details-bin"]
        details = status_pb2.Status.FromString(trailer).details
        info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        details[0].Unpack(info)
        details[1].Unpack(request)
        print(json.dumps({"reason": info.reason, "domain": info.domain, "field": info.metadata["field"],
                          "violation": request.field_violations[0].field}))
`;

const GO_PROGRAM = `package main

import (
	"context"
	"encoding/json"
	"os"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	squelch "github.com/squelch-ptt/squelch/gen/go/squelch/v1"
)

func main() {
	connection, err := grpc.Dial(os.Args[1], grpc.WithInsecure())
	if err != nil {
		panic(err)
	}
	client := squelch.NewPermissionServiceClient(connection)
	_, err = client.GetUserPermissions(context.Background(), &squelch.GetUserPermissionsRequest{EventId: "e"})
	answer := map[string]string{}
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			answer["reason"], answer["domain"], answer["field"] = detail.Reason, detail.Domain, detail.Metadata["field"]
		case *errdetails.BadRequest:
			answer["violation"] = detail.FieldViolations[0].Field
		}
	}
	json.NewEncoder(os.Stdout).Encode(answer)
}
`;

describe("code that is generated from the contract", () => {
  it("compiles for Python, and reads the reason of an error", async () => {
    const grpc = await generate("python", ["--python_out"], true);
    const plugin = "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin";
    await runProgram("protoc", ["-I", "proto", plugin, `--grpc_python_out=${grpc}`, ...contract]);
    await writeFile(join(grpc, "read_error.py"), PYTHON_PROGRAM);
    const modules = contract.map((name) => name.replaceAll("/", ".").replace(".proto", "_pb2"));
    const env = { ...process.env, PYTHONPATH: grpc };
    await runProgram(PYTHON, ["-c", `import ${modules.join(", ")}`], { env });
    const printed = await runProgram(PYTHON, [join(grpc, "read_error.py"), replica.grpcAddress], { env });
    expect(JSON.parse(printed)).toEqual(EXPECTED);
  });

  it(
    "compiles for Go, and reads the reason of an error",
    async () => {
      const source = await generate("go/src", ["--go_out", "--go-grpc_out"]);
      await mkdir(join(source, "reader"));
      await writeFile(join(source, "reader", "main.go"), GO_PROGRAM);
      const path = `${join(directory, "go")}:${DEBIAN_GO_PATH}`;
      const env = { ...process.env, GO111MODULE: "off", GOPATH: path, GOFLAGS: "" };
      const program = join(directory, "go", "reader");
      await runProgram("go", ["build", "-o", program, "reader"], { env, timeoutMs: COMPILE_TIMEOUT_MS });
      expect(JSON.parse(await runProgram(program, [replica.grpcAddress]))).toEqual(EXPECTED);
    },
    COMPILE_TIMEOUT_MS,
  );

  it(
    "compiles for Java",
    async () => {
      const source = await generate("java", ["--java_out"]);
      const names = (await readdir(join(source, "dev/squelch/v1"))).filter((name) => name.endsWith(".java"));
      const files = names.map((name) => join(source, "dev/squelch/v1", name));
      await runProgram("javac", ["-proc:none", "-cp", PROTOBUF_JAR, "-d", join(directory, "classes"), ...files], {
        timeoutMs: COMPILE_TIMEOUT_MS,
      });
      expect(await readdir(join(directory, "classes/dev/squelch/v1"))).toContain("PauseAllSpeakersRequest.class");
    },
    COMPILE_TIMEOUT_MS,
  );

  it("reads the reason of an error in TypeScript, through connect-web", async () => {
    const transport = createConnectTransport({ baseUrl: `http://${replica.httpAddress}` });
    const error = await createClient(PermissionService, transport)
      .getUserPermissions({ eventId: "e" })
      .then(
        () => expect.fail("the call must fail"),
        (reason) => reason,
      );
    const [info] = error.findDetails(ErrorInfoSchema);
    const [request] = error.findDetails(BadRequestSchema);
    expect({
      ...{ reason: info?.reason, domain: info?.domain, field: info?.metadata.field },
      violation: request?.fieldViolations[0]?.field,
    }).toEqual(EXPECTED);
    expect(error.findDetails(RetryInfoSchema)).toEqual([]);
  });
});
