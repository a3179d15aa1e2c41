"""Our own charts: gateway and controller once, engines once for each model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from infra.components.charts import ChartArgs, release
from infra.components.secrets import OWN_SECRET, PROVIDERS_SECRET

RELEASE = "spillway"
GATEWAY_SERVICE = f"{RELEASE}-gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePool:
    """Nodes that several pools share, as spillway.yaml names them."""

    instance_type: str
    nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpsArgs:
    """`providers`: whose keys there are. `charts`: the folder that has ops and serving."""

    charts: Path
    namespace: pulumi.Input[str]
    image: pulumi.Input[str]
    providers: tuple[str, ...]
    node_pools: Mapping[str, NodePool]
    service_monitors: bool
    provider: k8s.Provider


class Ops(pulumi.ComponentResource):
    """Gateway and controller; `service` answers callers."""

    service: str = GATEWAY_SERVICE

    def __init__(self, name: str, args: OpsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Ops", name, None, opts)
        release(
            f"{name}-release",
            ChartArgs(chart=args.charts / "ops", release=RELEASE, namespace=args.namespace, values=ops_values(args)),
            parent=self,
            provider=args.provider,
        )
        self.register_outputs({"service": self.service})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingArgs:
    """`values`: of the chart, whole but for the image. `wait_s`: a node may have to be started first."""

    charts: Path
    namespace: pulumi.Input[str]
    image: pulumi.Input[str]
    values: Mapping[str, object]
    service_monitors: bool
    wait_s: int
    provider: k8s.Provider


class Serving(pulumi.ComponentResource):
    """One pool of engines and the ModelPool by which the controller knows it."""

    def __init__(self, name: str, args: ServingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Serving", name, None, opts)
        release(
            f"{name}-release",
            ChartArgs(
                chart=args.charts / "serving",
                release=name,
                namespace=args.namespace,
                values={
                    **args.values,
                    "image": {"repository": args.image},
                    "serviceMonitor": {"enabled": args.service_monitors},
                },
                wait_s=args.wait_s,
                # A pool that waits for nodes spills: it is no reason to take the others back.
                skip_await=True,
            ),
            parent=self,
            provider=args.provider,
        )
        self.register_outputs({})


def ops_values(args: OpsArgs) -> dict[str, object]:
    """Values of the ops chart."""
    pools = {key: {"instance_type": pool.instance_type, "nodes": pool.nodes} for key, pool in args.node_pools.items()}
    keys: dict[str, object] = {}
    if args.providers:
        keys = {"existingSecret": PROVIDERS_SECRET, "providers": {name: name for name in args.providers}}
    return {
        "image": {"repository": args.image},
        "existingSecret": OWN_SECRET,
        "providerKeys": keys,
        "config": {"phase": "phase3", **({"node_pools": pools} if pools else {})},
        "database": {"type": "Postgres"},
        "serviceMonitor": {"enabled": args.service_monitors},
    }
