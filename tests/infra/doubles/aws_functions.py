"""Data sources of AWS: what a program may ask while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.infra.doubles import aws_kinds as k
from tests.infra.doubles.aws_facts import EKS_VERSIONS, zones
from tests.infra.doubles.aws_outputs import ACCOUNT
from tests.infra.doubles.aws_words import MISSING
from tests.infra.doubles.store import Store
from tests.infra.doubles.wire import Refused

Said = dict[str, Any]


def call(store: Store, region: str, token: str, values: Said) -> Said:
    """What the function answers; Refused where AWS would, and for a function that the double has not."""
    function = FUNCTIONS.get(token)
    if function is None:
        raise Refused(f"the double of AWS knows no function {token}")
    return {"id": region, **values, **function(store, region, values)}


def _identity(store: Store, region: str, values: Said) -> Said:
    return {
        "accountId": ACCOUNT,
        "arn": f"arn:aws:iam::{ACCOUNT}:user/platform",
        "userId": "AIDAEXAMPLE",
        "id": ACCOUNT,
    }


def _zones(store: Store, region: str, values: Said) -> Said:
    names = list(zones(region))
    return {"names": names, "zoneIds": [f"{name}-id" for name in names], "groupNames": [region]}


def _region(store: Store, region: str, values: Said) -> Said:
    return {"name": region, "region": region, "description": region, "endpoint": f"ec2.{region}.amazonaws.com"}


def _parameter(store: Store, region: str, values: Said) -> Said:
    name = values["name"]
    if not name.startswith("/aws/service/eks/optimized-ami/"):
        raise Refused(f"ParameterNotFound: {name}")
    if name.split("/")[5] not in EKS_VERSIONS:
        raise Refused(f"ParameterNotFound: {name}")
    value = "ami-0123456789abcdef0" if "image_id" in name else f"{name.split('/')[5]}.3-20261101"
    return {
        "value": value,
        "insecureValue": value,
        "type": "String",
        "version": 1,
        "arn": f"arn:aws:ssm:{region}::{name}",
    }


def _secret(store: Store, region: str, values: Said) -> Said:
    name = values.get("name") or values.get("arn", "")
    return {"arn": f"arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:{name}-a1b2c3", "name": name, "id": name}


def _cluster(store: Store, region: str, values: Said) -> Said:
    thing = store.get(k.CLUSTER, values["name"])
    if thing is None:
        raise Refused(MISSING[k.CLUSTER].format(key=values["name"]))
    return {**thing.outputs, "certificateAuthorities": [thing.outputs["certificateAuthority"]]}


FUNCTIONS: dict[str, Callable[[Store, str, Said], Said]] = {
    "index/getCallerIdentity:getCallerIdentity": _identity,
    "index/getAvailabilityZones:getAvailabilityZones": _zones,
    "index/getRegion:getRegion": _region,
    "index/getPartition:getPartition": lambda store, region, values: {
        "partition": "aws",
        "dnsSuffix": "amazonaws.com",
        "reverseDnsPrefix": "com.amazonaws",
    },
    "ssm/getParameter:getParameter": _parameter,
    "secretsmanager/getSecret:getSecret": _secret,
    "eks/getCluster:getCluster": _cluster,
    "eks/getClusterAuth:getClusterAuth": lambda store, region, values: {"token": "k8s-aws-v1.double"},
}
