"""The program run without an engine: every resource it registers, with its inputs, options and parents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from zlib import crc32

import pulumi
from pulumi.runtime import mocks as pulumi_mocks
from pulumi.runtime import rpc
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import SETTINGS, get_root_resource, set_root_resource
from pulumi.runtime.stack import Stack, run_pulumi_func

ACCOUNT = "123456789012"


@dataclass(frozen=True, kw_only=True)
class Registered:
    """One resource as the program asked for it. `dependencies` and `parent` are URNs, `provider` too, with an id."""

    urn: str
    token: str
    name: str
    inputs: Mapping[str, object]
    custom: bool
    parent: str
    dependencies: frozenset[str]
    provider: str
    protect: bool
    ignore_changes: tuple[str, ...]
    before_update: tuple[str, ...]  # hooks


class Recorder(pulumi_mocks.MockMonitor):
    """Answers every registration with what AWS would add: identities, addresses, what EKS makes by itself."""

    def __init__(self) -> None:
        super().__init__(_Answers())
        self.registered: list[Registered] = []
        self.outputs: dict[str, object] = {}

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> object:  # noqa: N802 - Pulumi's name
        """The answer of the mocks; what was asked for is kept."""
        # Called in a thread of the SDK's, for which the SDK would make a loop and never close it.
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            answer = super().RegisterResource(request)
        finally:
            asyncio.set_event_loop(None)
            SETTINGS.callbacks = None
        loop.close()
        if request.type != "pulumi:pulumi:Stack":
            self.registered.append(
                Registered(
                    urn=answer.urn,
                    token=request.type,
                    name=request.name,
                    inputs=_whole(rpc.deserialize_properties(request.object)),
                    custom=bool(request.custom),
                    parent=request.parent,
                    dependencies=frozenset(request.dependencies),
                    provider=request.provider,
                    protect=bool(request.protect),
                    ignore_changes=tuple(request.ignoreChanges),
                    before_update=tuple(request.hooks.before_update),
                )
            )
        return answer

    @property
    def made(self) -> list[Registered]:
        """Resources of AWS and of the cluster, without components."""
        return [resource for resource in self.registered if resource.custom]

    def of(self, token: str) -> list[Registered]:
        """Resources of one type, in order of registration."""
        return [resource for resource in self.registered if resource.token == token]

    def one(self, token: str) -> Registered:
        """The only resource of its type."""
        (found,) = self.of(token)
        return found

    def named(self, name: str) -> Registered:
        """The only resource of that name that is no component."""
        (found,) = [resource for resource in self.made if resource.name == name]
        return found


class _Hooks:
    """In place of the server through which an engine calls hooks: mocks have none, and never call any."""

    def register_resource_hook(self, hook: pulumi.ResourceHook) -> None:
        assert hook.callback is not None


class _Answers(pulumi_mocks.Mocks):
    def new_resource(self, args: pulumi_mocks.MockResourceArgs) -> tuple[str, dict[str, object]]:
        inputs = dict(args.inputs)
        return _identity(args.typ, args.name), {**inputs, **_given(args.typ, args.name, inputs)}

    def call(self, args: pulumi_mocks.MockCallArgs) -> dict[str, object]:
        raise AssertionError(f"{args.token}: a call to a provider needs AWS in every preview")


def run(program: Callable[[], object]) -> Recorder:
    """What the program registers; its errors are raised here."""
    recorder = Recorder()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    set_root_resource(None)
    pulumi_mocks.set_mocks(_Answers(), project="spillway", stack="test", preview=False, monitor=recorder)
    SETTINGS.callbacks = cast("Any", _Hooks())
    try:
        loop.run_until_complete(run_pulumi_func(_made(program)))
        root = get_root_resource()
        assert isinstance(root, Stack)
        recorder.outputs = dict(root.outputs)
    finally:
        loop.close()
        asyncio.set_event_loop(None)
    return recorder


def _whole(value: Any) -> Any:
    """The wire knows one kind of number: those without a fraction were integers."""
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _made(program: Callable[[], object]) -> Callable[[], None]:
    def made() -> None:
        program()

    return made


def _identity(token: str, name: str) -> str:
    """As AWS would form it: other resources' inputs are held against patterns of it."""
    known = {"FileSystem": "fs", "SecurityGroup": "sg", "Subnet": "subnet", "Vpc": "vpc"}
    kind = token.rpartition(":")[2]
    return f"{known[kind]}-{crc32(name.encode()):08x}" if kind in known else f"{name}-id"


def _given(token: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    service = token.partition(":")[2].partition("/")[0]
    given: dict[str, Any] = {}
    if token.startswith("aws:"):
        given["arn"] = f"arn:aws:{service}:us-east-1:{ACCOUNT}:{token.rpartition(':')[2].lower()}/{name}"
        if "name" not in inputs:
            given["name"] = name
    return given | (GIVEN[token](name, inputs) if token in GIVEN else {})


def _key(name: str, _inputs: dict[str, Any]) -> dict[str, Any]:
    return {"arn": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/00000000-0000-0000-0000-0000{crc32(name.encode()):08x}"}


def _cluster(_name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "endpoint": "https://eks.example",
        "vpcConfig": {**inputs["vpcConfig"], "clusterSecurityGroupId": "sg-0123456789"},
        "certificateAuthority": {"data": "Q0E="},
    }


def _database(name: str, _inputs: dict[str, Any]) -> dict[str, Any]:
    secret = {"secretArn": f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:rds"}
    return {"address": "db.example", "identifier": name, "masterUserSecrets": [secret]}


PROOF = {"resourceRecordName": "_p.example", "resourceRecordType": "CNAME", "resourceRecordValue": "v"}
GIVEN: dict[str, Callable[[str, dict[str, Any]], dict[str, Any]]] = {
    "aws:acm/certificate:Certificate": lambda _name, _inputs: {"domainValidationOptions": [PROOF]},
    "aws:ec2/launchTemplate:LaunchTemplate": lambda _name, _inputs: {"latestVersion": 1},
    "aws:ecr/repository:Repository": lambda _name, inputs: {
        "repositoryUrl": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/{inputs['name']}"
    },
    "aws:eks/cluster:Cluster": _cluster,
    "aws:eks/nodeGroup:NodeGroup": lambda name, _inputs: {
        "resources": [{"autoscalingGroups": [{"name": f"eks-{name}"}]}],
        "nodeGroupName": name,
    },
    "aws:kms/key:Key": _key,
    "aws:rds/instance:Instance": _database,
    "aws:route53/record:Record": lambda _name, inputs: {"fqdn": inputs["name"]},
    "aws:s3/bucket:Bucket": lambda name, _inputs: {"bucket": name},
    "kubernetes:networking.k8s.io/v1:Ingress": lambda _name, _inputs: {
        "status": {"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}}
    },
}
