"""Karpenter in place of managed GPU groups: nodes are started for the pods that wait, from what a pool allows.

Capacity blocks stay managed groups; one pool is one NodePool with its limit of GPUs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
from pulumi_aws import cloudwatch, sqs
from pulumi_kubernetes.helm.v3 import Release

from infra.components.charts import ChartArgs, release
from infra.components.custom_resource import CustomArgs, custom_resource
from infra.components.gpu_pool import GPU, POOL_LABEL
from infra.components.identity import PodIdentity, PodIdentityArgs
from infra.components.karpenter_policy import KarpenterScope, karpenter_policy

ACCOUNT = "karpenter"
EVENTS = {
    "interruptions": ("aws.ec2", "EC2 Spot Instance Interruption Warning"),
    "rebalance": ("aws.ec2", "EC2 Instance Rebalance Recommendation"),
    "states": ("aws.ec2", "EC2 Instance State-change Notification"),
    "health": ("aws.health", "AWS Health Event"),
    "reservations": ("aws.ec2", "EC2 Capacity Reservation Instance Interruption Warning"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePoolSpec:
    """`capacity_types`: of reserved, spot, on-demand, tried in the order of their price."""

    instance_type: str
    zones: tuple[str, ...]
    capacity_types: tuple[str, ...]
    reservation_id: str | None
    gpus: int
    max_nodes: int
    disk_gib: int
    disk_throughput_mib_per_s: int
    local_disks: bool
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class KarpenterArgs:
    """`idle_s`: how long a node may be empty. `expire_after_hours`: how old one may get before it is replaced."""

    cluster_name: str
    region: str
    account_id: pulumi.Input[str]
    node_role_arn: pulumi.Input[str]
    node_role_name: pulumi.Input[str]
    subnet_ids: tuple[pulumi.Input[str], ...]
    security_group_id: pulumi.Input[str]
    pools: Mapping[str, NodePoolSpec]
    idle_s: int
    expire_after_hours: int
    provider: k8s.Provider
    tags: Mapping[str, str]


class Karpenter(pulumi.ComponentResource):
    """The controller with its queue of warnings, and a NodePool and a node class for each pool."""

    def __init__(self, name: str, args: KarpenterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Karpenter", name, None, opts)
        self._name, self._args = name, args
        queue = self._queue()
        installed = self._controller(queue)
        for pool, spec in args.pools.items():
            self._pool(pool, spec, installed)
        self.register_outputs({})

    def _queue(self) -> sqs.Queue:
        args, child = self._args, pulumi.ResourceOptions(parent=self)
        queue = sqs.Queue(
            f"{self._name}-warnings",
            sqs.QueueArgs(message_retention_seconds=300, sqs_managed_sse_enabled=True, tags=dict(args.tags)),
            opts=child,
        )
        sqs.QueuePolicy(
            f"{self._name}-warnings",
            sqs.QueuePolicyArgs(queue_url=queue.id, policy=queue.arn.apply(_queue_policy)),
            opts=child,
        )
        for key, (source, detail_type) in EVENTS.items():
            rule = cloudwatch.EventRule(
                f"{self._name}-{key}",
                cloudwatch.EventRuleArgs(
                    event_pattern=json.dumps({"source": [source], "detail-type": [detail_type]}),
                    tags=dict(args.tags),
                ),
                opts=child,
            )
            cloudwatch.EventTarget(
                f"{self._name}-{key}", cloudwatch.EventTargetArgs(rule=rule.name, arn=queue.arn), opts=child
            )
        return queue

    def _controller(self, queue: sqs.Queue) -> Release:
        args = self._args
        identity = PodIdentity(
            f"{self._name}-identity",
            PodIdentityArgs(
                cluster_name=args.cluster_name,
                namespace="kube-system",
                service_account=ACCOUNT,
                policy=pulumi.Output.all(args.account_id, args.node_role_arn, queue.arn).apply(
                    lambda parts: karpenter_policy(
                        KarpenterScope(
                            cluster_name=args.cluster_name,
                            region=args.region,
                            account_id=str(parts[0]),
                            node_role_arn=str(parts[1]),
                            queue_arn=str(parts[2]),
                        )
                    )
                ),
                tags=args.tags,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return release(
            f"{self._name}-controller",
            ChartArgs(
                chart="karpenter",
                release="karpenter",
                namespace="kube-system",
                values={
                    "serviceAccount": {"create": True, "name": ACCOUNT},
                    "settings": {"clusterName": args.cluster_name, "interruptionQueue": queue.name},
                },
            ),
            parent=self,
            provider=args.provider,
            depends_on=[identity],
        )

    def _pool(self, pool: str, spec: NodePoolSpec, installed: Release) -> None:
        args = self._args
        node_class = custom_resource(
            f"{self._name}-class-{pool}",
            CustomArgs(
                api_version="karpenter.k8s.aws/v1",
                kind="EC2NodeClass",
                object_name=pool,
                namespace=None,
                spec=_class_spec(args, spec),
            ),
            parent=self,
            provider=args.provider,
            depends_on=[installed],
        )
        custom_resource(
            f"{self._name}-pool-{pool}",
            CustomArgs(
                api_version="karpenter.sh/v1",
                kind="NodePool",
                object_name=pool,
                namespace=None,
                spec=_pool_spec(args, pool, spec),
            ),
            parent=self,
            provider=args.provider,
            depends_on=[node_class],
        )


def _class_spec(args: KarpenterArgs, spec: NodePoolSpec) -> dict[str, object]:
    disk = {
        "volumeType": "gp3",
        "volumeSize": f"{spec.disk_gib}Gi",
        "throughput": spec.disk_throughput_mib_per_s,
        "iops": max(3000, 4 * spec.disk_throughput_mib_per_s),
        "encrypted": True,
        "deleteOnTermination": True,
    }
    made: dict[str, object] = {
        "amiSelectorTerms": [{"alias": "al2023@latest"}],
        "role": args.node_role_name,
        "subnetSelectorTerms": [{"id": subnet} for subnet in args.subnet_ids],
        "securityGroupSelectorTerms": [{"id": args.security_group_id}],
        "blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": disk}],
        "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
        "tags": dict(args.tags),
    }
    if spec.local_disks:
        made["instanceStorePolicy"] = "RAID0"
    if spec.reservation_id is not None:
        made["capacityReservationSelectorTerms"] = [{"id": spec.reservation_id}]
    return made


def _pool_spec(args: KarpenterArgs, pool: str, spec: NodePoolSpec) -> dict[str, object]:
    wanted = {
        "node.kubernetes.io/instance-type": [spec.instance_type],
        "karpenter.sh/capacity-type": list(spec.capacity_types),
        "topology.kubernetes.io/zone": list(spec.zones),
        "kubernetes.io/arch": ["amd64"],
    }
    labels = {**spec.labels, POOL_LABEL: pool, "nvidia.com/gpu.present": "true"}
    template: dict[str, object] = {
        "metadata": {"labels": labels},
        "spec": {
            "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": pool},
            "requirements": [{"key": key, "operator": "In", "values": values} for key, values in wanted.items()],
            "taints": [{"key": GPU, "value": "present", "effect": "NoSchedule"}],
            "expireAfter": f"{args.expire_after_hours}h",
            "terminationGracePeriod": "24h",
        },
    }
    return {
        "template": template,
        "limits": {GPU: str(spec.gpus * spec.max_nodes)},
        "disruption": {
            "consolidationPolicy": "WhenEmpty",  # moving a model costs minutes of loading
            "consolidateAfter": f"{args.idle_s}s",
            "budgets": [{"nodes": "1"}],
        },
    }


def _queue_policy(queue_arn: str) -> str:
    senders = ["events.amazonaws.com", "sqs.amazonaws.com"]
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": senders},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
    }
    plain = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": queue_arn,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed, plain]})
