"""What AWS says of a new object beyond what it was asked for."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from typing import Any

from tests.infra.doubles import aws_kinds as k
from tests.infra.doubles.paths import values_at
from tests.infra.doubles.store import Store

ACCOUNT = "123456789012"
Said = dict[str, Any]


def hexadecimal(*words: str) -> str:
    """17 digits, as AWS's identities have; the same for the same words."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:17]


def arn(kind: k.Kind, identity: str, inputs: Said, region: str) -> str:
    """The name that all of AWS knows it by."""
    if kind.service == "s3":
        return f"arn:aws:s3:::{identity}"
    place = "" if kind.service == "iam" else region
    rest = kind.arn.format(**{**inputs, "id": identity}) if kind.arn else identity
    return f"arn:aws:{kind.service}:{place}:{ACCOUNT}:{rest}"


def computed(store: Store, token: str, identity: str, inputs: Said, region: str) -> Said:
    """By name of the output."""
    make = OUTPUTS.get(token)
    return make(store, identity, inputs, region) if make else {}


def _vpc(store: Store, identity: str, inputs: Said, region: str) -> Said:
    tail = identity.removeprefix("vpc-")
    return {
        "defaultSecurityGroupId": f"sg-{tail}",
        "defaultNetworkAclId": f"acl-{tail}",
        "defaultRouteTableId": f"rtb-{tail}",
        "mainRouteTableId": f"rtb-{tail}",
        "ownerId": ACCOUNT,
    }


def _address(store: Store, identity: str, inputs: Said, region: str) -> Said:
    return {"allocationId": identity, "publicIp": f"203.0.113.{store.next('address')}"}


def _template(store: Store, identity: str, inputs: Said, region: str) -> Said:
    version = store.next(identity)
    return {"latestVersion": version, "defaultVersion": version}


def _cluster(store: Store, identity: str, inputs: Said, region: str) -> Said:
    tail = hexadecimal(identity)
    subnets = set(values_at(inputs, "vpcConfig.subnetIds"))
    (vpc,) = {thing.inputs["vpcId"] for thing in store.of(k.SUBNET) if thing.identity in subnets} or {""}
    authority = os.environ.get("DOUBLE_CLUSTER_CA", base64.b64encode(b"none").decode())
    return {
        "endpoint": os.environ.get("DOUBLE_CLUSTER_ENDPOINT", f"https://{tail.upper()}.gr7.{region}.eks.amazonaws.com"),
        "certificateAuthority": {"data": authority},
        "certificateAuthorities": [{"data": authority}],
        "clusterId": identity,
        "identities": [{"oidcs": [{"issuer": f"https://oidc.eks.{region}.amazonaws.com/id/{tail.upper()}"}]}],
        "platformVersion": "eks.9",
        "status": "ACTIVE",
        "version": inputs.get("version", "1.34"),
        "vpcConfig": {**inputs.get("vpcConfig", {}), "clusterSecurityGroupId": f"sg-{tail}", "vpcId": vpc},
    }


def _nodes(store: Store, identity: str, inputs: Said, region: str) -> Said:
    group = f"eks-{inputs['nodeGroupName']}-{hexadecimal(identity)[:8]}"
    return {"resources": [{"autoscalingGroups": [{"name": group}]}], "status": "ACTIVE"}


def _database(store: Store, identity: str, inputs: Said, region: str) -> Said:
    address = f"{inputs['identifier']}.{hexadecimal(identity)[:12]}.{region}.rds.amazonaws.com"
    secret = f"arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:rds!{identity}-{hexadecimal(identity)[:6]}"
    managed = [{"secretArn": secret, "secretStatus": "active", "kmsKeyId": "aws/secretsmanager"}]
    return {
        "address": address,
        "endpoint": f"{address}:{inputs.get('port', 5432)}",
        "port": inputs.get("port", 5432),
        "resourceId": identity,
        "masterUserSecrets": managed if inputs.get("manageMasterUserPassword") else [],
        "status": "available",
    }


def _repository(store: Store, identity: str, inputs: Said, region: str) -> Said:
    return {"repositoryUrl": f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com/{identity}", "registryId": ACCOUNT}


def _bucket(store: Store, identity: str, inputs: Said, region: str) -> Said:
    return {
        "bucketDomainName": f"{identity}.s3.amazonaws.com",
        "bucketRegionalDomainName": f"{identity}.s3.{region}.amazonaws.com",
        "region": region,
    }


def _files(store: Store, identity: str, inputs: Said, region: str) -> Said:
    return {"dnsName": f"{identity}.fsx.{region}.amazonaws.com", "mountName": "spillway"}


def _endpoint(store: Store, identity: str, inputs: Said, region: str) -> Said:
    return {"state": "available", "prefixListId": f"pl-{hexadecimal(identity)[:8]}", "dnsEntries": []}


def _certificate(store: Store, identity: str, inputs: Said, region: str) -> Said:
    domain = inputs["domainName"]
    proof = {
        "domainName": domain,
        "resourceRecordName": f"_{hexadecimal(domain)}.{domain}.",
        "resourceRecordType": "CNAME",
        "resourceRecordValue": "_proof.acm-validations.aws.",
    }
    return {"domainValidationOptions": [proof], "status": "PENDING_VALIDATION"}


OUTPUTS: dict[str, Callable[[Store, str, Said, str], Said]] = {
    k.VPC: _vpc,
    k.ADDRESS: _address,
    k.TEMPLATE: _template,
    k.CLUSTER: _cluster,
    k.NODES: _nodes,
    k.DATABASE: _database,
    "acm/certificate:Certificate": _certificate,
    k.REPOSITORY: _repository,
    k.BUCKET: _bucket,
    "fsx/lustreFileSystem:LustreFileSystem": _files,
    "ec2/vpcEndpoint:VpcEndpoint": _endpoint,
    k.NAT: lambda store, identity, inputs, region: {"publicIp": f"198.51.100.{store.next('nat')}"},
    k.SUBNET: lambda store, identity, inputs, region: {"availabilityZoneId": f"{inputs.get('availabilityZone')}-id"},
    k.KEY: lambda store, identity, inputs, region: {"keyId": identity},
    k.ROLE: lambda store, identity, inputs, region: {"uniqueId": f"AROA{hexadecimal(identity).upper()}"},
    k.FILES: lambda store, identity, inputs, region: {"dnsName": f"{identity}.efs.{region}.amazonaws.com"},
    k.QUEUE: lambda store, identity, inputs, region: {
        "url": f"https://sqs.{region}.amazonaws.com/{ACCOUNT}/{inputs['name']}"
    },
    k.METRICS: lambda store, identity, inputs, region: {
        "prometheusEndpoint": f"https://aps-workspaces.{region}.amazonaws.com/workspaces/{identity}/"
    },
    "eks/podIdentityAssociation:PodIdentityAssociation": lambda store, identity, inputs, region: {
        "associationId": identity
    },
    "ec2/defaultSecurityGroup:DefaultSecurityGroup": lambda store, identity, inputs, region: {"name": "default"},
}
