"""Everything one stack is: what `Pulumi.<stack>.yaml` says under `spillway:`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from infra.schema.cluster import ClusterSettings, CoreNodeSettings, NodeAutoscalingSettings
from infra.schema.gpu_pools import GpuPoolSettings, ModelSettings
from infra.schema.network import NetworkSettings
from infra.schema.services import (
    DatabaseSettings,
    EdgeSettings,
    ModelStoreSettings,
    ObservabilitySettings,
    RegistrySettings,
    SecretsSettings,
)
from infra.schema.values import Name, Section, Usd

STACK_TAG = "spillway:stack"  # on everything the program makes, with the stack's `name`


class StackSettings(Section):
    """One stack. `name` begins the name of everything it makes; `gpu_pools` and `models` are by names of one's own."""

    name: Name
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$", description="an AWS region such as us-east-1")]
    budget_usd_per_month: Usd
    over_budget_acknowledged_usd_per_month: Usd | None = (
        None  # a total up to this is accepted although above the budget
    )
    network: NetworkSettings = NetworkSettings()
    cluster: ClusterSettings = ClusterSettings()
    core_nodes: CoreNodeSettings = CoreNodeSettings()
    gpu_pools: Annotated[dict[Name, GpuPoolSettings], Field(min_length=1, max_length=50)]
    models: dict[Name, ModelSettings] = Field(default_factory=dict)
    node_autoscaling: NodeAutoscalingSettings = NodeAutoscalingSettings()
    model_store: ModelStoreSettings = ModelStoreSettings()
    secrets: SecretsSettings = SecretsSettings()
    registry: RegistrySettings = RegistrySettings()
    database: DatabaseSettings = DatabaseSettings()
    observability: ObservabilitySettings = ObservabilitySettings()
    edge: EdgeSettings = EdgeSettings()
    tags: dict[str, str] = Field(default_factory=dict)
