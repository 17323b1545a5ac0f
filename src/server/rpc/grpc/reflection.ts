import type { DescFile, DescService } from "@bufbuild/protobuf";
import { toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { ReflectionService } from "@grpc/reflection";

function withDependencies(file: DescFile, files = new Set<DescFile>()): Set<DescFile> {
  if (files.has(file)) return files;
  for (const dependency of file.dependencies) withDependencies(dependency, files);
  return files.add(file);
}

/** Creates gRPC reflection for services that protobuf-es has generated. */
export function createReflection(services: readonly DescService[]): ReflectionService {
  const files = new Set(services.flatMap(({ file }) => [...withDependencies(file)]));
  const fileDescriptorProtos = [...files].map(({ proto }) => Buffer.from(toBinary(FileDescriptorProtoSchema, proto)));
  // The library reads only the descriptors of a package definition.
  const definition = { format: "Protocol Buffer 3 DescriptorProto", type: {}, fileDescriptorProtos };
  return new ReflectionService({ squelch: definition } as ConstructorParameters<typeof ReflectionService>[0]);
}
