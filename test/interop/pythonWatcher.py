"""Watches one event with stubs that protoc makes from the contract, knowing nothing else of Squelch.

Usage: pythonWatcher.py PROTO_DIRECTORY ADDRESS EVENT

Prints each message of WatchPermissions as one line of protobuf JSON, until it is ended or the stream is.
"""

import importlib
import pathlib
import subprocess
import sys
import tempfile

import grpc
from google.protobuf import json_format


def load_stubs(proto_directory):
    """Generates the Python code of every .proto file and imports that of the permission service."""
    files = sorted(str(path) for path in pathlib.Path(proto_directory).rglob("*.proto"))
    plugin = "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin"
    with tempfile.TemporaryDirectory() as target:
        outputs = [f"--python_out={target}", f"--grpc_python_out={target}"]
        subprocess.run(["protoc", plugin, "-I", proto_directory, *outputs, *files], check=True)
        sys.path.insert(0, target)
        messages = importlib.import_module("squelch.v1.permission_service_pb2")
        services = importlib.import_module("squelch.v1.permission_service_pb2_grpc")
    return messages, services


def main():
    _, proto_directory, address, event_id = sys.argv
    messages, services = load_stubs(proto_directory)
    with grpc.insecure_channel(address) as channel:
        stub = services.PermissionServiceStub(channel)
        for response in stub.WatchPermissions(messages.WatchPermissionsRequest(event_ids=[event_id])):
            print(json_format.MessageToJson(response, indent=None), flush=True)


if __name__ == "__main__":
    main()
