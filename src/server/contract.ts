import type { MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { AuditService } from "../../gen/squelch/v1/audit_service_pb.js";
import { BanService } from "../../gen/squelch/v1/ban_service_pb.js";
import { ChannelService } from "../../gen/squelch/v1/channel_service_pb.js";
import { FleetService } from "../../gen/squelch/v1/fleet_service_pb.js";
import { PermissionService } from "../../gen/squelch/v1/permission_service_pb.js";

/**
 * The services that the gRPC and the HTTP server serve. To add a service, add it here. The compiler then requires its
 * handlers (`rpc/services.ts`), its rights (`auth/rights.ts`) and its audit subjects (`rpc/interceptors/audit.ts`).
 */
export const services = [PermissionService, ChannelService, BanService, FleetService, AuditService] as const;

type Intersection<Union> = (Union extends unknown ? (each: Union) => void : never) extends (all: infer All) => void
  ? All
  : never;

/** The methods of all services by their local names. A name belongs to one service only. */
export type Methods = Intersection<(typeof services)[number]["method"]>;
export type MethodName = keyof Methods;

/** The decoded request message of a method. */
export type RequestOf<Name extends MethodName> = MessageShape<Methods[Name]["input"]>;
/** The fields from which the response message of a method is created. */
export type AnswerOf<Name extends MethodName> = MessageInitShape<Methods[Name]["output"]>;
