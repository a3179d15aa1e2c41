"""AWS's own words where an object is in use or missing."""

from __future__ import annotations

from tests.infra.doubles import aws_kinds as k

# AWS's words where an object is still in use.
IN_USE = {
    k.BUCKET: "BucketNotEmpty: The bucket you tried to delete is not empty",
    k.VPC: "DependencyViolation: The vpc '{id}' has dependencies and cannot be deleted.",
    k.SUBNET: "DependencyViolation: The subnet '{id}' has dependencies and cannot be deleted.",
    k.GROUP: "DependencyViolation: resource {id} has a dependent object",
    k.TABLE: "DependencyViolation: The routeTable '{id}' has dependencies and cannot be deleted.",
    k.ADDRESS: "InvalidIPAddress.InUse: Address {id} is in use.",
    k.TOGETHER: "InvalidPlacementGroup.InUse: The placement group '{id}' is in use and may not be deleted.",
    k.CLUSTER: "ResourceInUseException: Cluster has nodegroups attached",
    k.ROLE: "DeleteConflict: Cannot delete entity, must detach all policies first.",
    k.POLICY: "DeleteConflict: Cannot delete a policy attached to entities.",
    k.DATABASE_SUBNETS: "InvalidDBSubnetGroupStateFault: Cannot delete the subnet group '{id}' because at least one "
    "database instance is still using it.",
    k.DATABASE_PARAMETERS: "InvalidDBParameterGroupState: One or more database instances are still members of this "
    "parameter group {id}, so the group cannot be deleted",
    k.FILES: "FileSystemInUse: {id} has mount targets",
    k.EVENTS: "ValidationException: Rule can't be deleted since it has targets.",
}
# And where one is named that does not exist.
MISSING = {
    k.VPC: "InvalidVpcID.NotFound: The vpc ID '{key}' does not exist",
    k.SUBNET: "InvalidSubnetID.NotFound: The subnet ID '{key}' does not exist",
    k.GROUP: "InvalidGroup.NotFound: The security group '{key}' does not exist",
    k.GATEWAY: "InvalidInternetGatewayID.NotFound: The internetGateway ID '{key}' does not exist",
    k.NAT: "NatGatewayNotFound: The Nat Gateway {key} does not exist",
    k.TABLE: "InvalidRouteTableID.NotFound: The routeTable ID '{key}' does not exist",
    k.ADDRESS: "InvalidAllocationID.NotFound: The allocation ID '{key}' does not exist",
    k.TEMPLATE: "InvalidLaunchTemplateId.NotFound: The specified launch template {key} does not exist.",
    k.CLUSTER: "ResourceNotFoundException: No cluster found for name: {key}.",
    k.ROLE: "NoSuchEntity: The role with name or ARN {key} cannot be found.",
    k.BUCKET: "NoSuchBucket: The specified bucket does not exist: {key}",
}
