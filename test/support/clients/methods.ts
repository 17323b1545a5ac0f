import { AuditService } from "../../../gen/squelch/v1/audit_service_pb.js";
import { BanService } from "../../../gen/squelch/v1/ban_service_pb.js";
import { ChannelService } from "../../../gen/squelch/v1/channel_service_pb.js";
import { FleetService } from "../../../gen/squelch/v1/fleet_service_pb.js";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";

/** The methods of all services by their local names. */
export const methods = {
  ...PermissionService.method,
  ...ChannelService.method,
  ...BanService.method,
  ...FleetService.method,
  ...AuditService.method,
};
