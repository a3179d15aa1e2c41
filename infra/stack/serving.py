"""The product itself: the weights' store, gateway and controller, engines by model, the way in."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import cast

import pulumi

from controller.catalogue import load_catalogue
from controller.catalogue.fit import GIB, weights_bytes
from controller.core.models import Architecture
from infra.checks.weights import ANY_REVISION, is_ready
from infra.components.charts import own_charts
from infra.components.entrance import Entrance, EntranceArgs
from infra.components.identity import PodIdentity, PodIdentityArgs
from infra.components.model_store import ModelStore, ModelStoreArgs, read_policy
from infra.components.releases import GATEWAY_SERVICE, NodePool, Ops, OpsArgs, Serving, ServingArgs
from infra.components.secrets import HUB_SECRET, OWN_SECRET
from infra.components.serving_values import Cache, Engine, Node, Repository, base_values, merged, serving_values
from infra.components.shared_cache import SharedCache, SharedCacheArgs
from infra.regions import instance_facts
from infra.schema import ModelSettings, StackSettings
from infra.stack.foundation import Foundation
from infra.stack.pools import gpus_of
from infra.stack.services import Services
from infra.weights import Wanted, folder_of

CHARTS = own_charts()
NAMESPACE = "spillway"
START_S = 2400  # a node, its images and 141 GB of weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What the stack's outputs say."""

    gateway_url: pulumi.Input[str]
    namespaces: dict[str, str]
    model_bucket: pulumi.Output[str]
    helm_values: dict[str, object]


def make_serving(settings: StackSettings, base: Foundation, services: Services) -> Served:
    """Callers are answered."""
    name, namespace = settings.name, services.namespace.namespace
    shared = _shared_cache(settings, base, namespace)
    cache = Cache() if shared is None else Cache(storage_class=shared.storage_class, claim=shared.claim)
    values = {
        key: serving_values(base_values(CHARTS, model.model, model.dtype), _engine(settings, key, model), cache)
        for key, model in settings.models.items()
    }
    wanted = {key: _wanted(key, made) for key, made in values.items()}
    store = ModelStore(
        f"{name}-models",
        ModelStoreArgs(
            key_arn=base.key.arn,
            noncurrent_days=settings.model_store.noncurrent_days,
            force_destroy=settings.model_store.force_destroy,
            wanted=tuple(wanted.values()),
            tags=base.tags,
        ),
        opts=pulumi.ResourceOptions(providers=[base.aws]),
    )
    ops = Ops(f"{name}-ops", _ops(settings, base, services), opts=base.options(*services.ready))
    for key, made in values.items():
        after = [ops, _reader(base, store, key), *([] if shared is None else [shared])]
        Serving(
            key,
            ServingArgs(
                charts=CHARTS,
                namespace=namespace,
                image=base.registry.repository_urls["engine"],
                values=_from_bucket(settings, store, wanted[key], made),
                service_monitors=services.service_monitors,
                wait_s=START_S,
                provider=base.cluster.provider,
            ),
            opts=base.options(*after),
        )
    return Served(
        gateway_url=_entrance(settings, base, services, ops),
        namespaces={"spillway": "spillway", "monitoring": "monitoring", "secrets": "external-secrets"},
        model_bucket=store.bucket_name,
        helm_values={
            "existingSecret": OWN_SECRET,
            "hubSecret": HUB_SECRET,
            "images": base.registry.repository_urls,
            "nodePools": sorted(settings.gpu_pools),
        },
    )


def _ops(settings: StackSettings, base: Foundation, services: Services) -> OpsArgs:
    return OpsArgs(
        charts=CHARTS,
        namespace=services.namespace.namespace,
        image=base.registry.repository_urls["ops"],
        providers=services.providers,
        node_pools={
            key: NodePool(instance_type=pool.instance_type, nodes=pool.max_nodes)
            for key, pool in settings.gpu_pools.items()
            if pool.max_nodes
        },
        service_monitors=services.service_monitors,
        provider=base.cluster.provider,
    )


def _engine(settings: StackSettings, key: str, model: ModelSettings) -> Engine:
    pool = settings.gpu_pools[model.pool]
    facts = instance_facts()[pool.instance_type]
    gpus = gpus_of(pool.instance_type)
    taken = sum(
        other.tensor_parallel * other.replicas for other in settings.models.values() if other.pool == model.pool
    )
    spare = max(0, pool.max_nodes * gpus - taken)
    return Engine(
        model=model.model,
        dtype=model.dtype,
        pool=model.pool,
        node=Node(instance_type=pool.instance_type, gpus=gpus, vcpus=facts.vcpus, memory_gib=facts.memory_gib),
        tensor_parallel=model.tensor_parallel,
        replicas_min=model.replicas,
        replicas_max=model.replicas + spare // model.tensor_parallel,
        max_model_len_tokens=model.max_model_len_tokens,
        max_num_seqs=model.max_num_seqs,
        gpu_memory_utilization_ratio=model.gpu_memory_utilization_ratio,
        revision=None if model.revision == ANY_REVISION else model.revision,
        repository=None if is_ready(model) else _repository(model),
        hub_secret="" if settings.secrets.hf_token is None else HUB_SECRET,
    )


def _repository(model: ModelSettings) -> Repository:
    """From settings or catalogue, where the chart's values name none; settings without its commit are refused."""
    row = load_catalogue().models[model.model]
    architecture = cast("Architecture", row.architecture)  # of every model that settings may name
    return Repository(
        repository=model.repository or architecture.hf_id,
        revision=model.revision,
        served_name=row.model_id,
        weights_gib=ceil(weights_bytes(architecture, model.dtype) / GIB),
    )


def _wanted(key: str, values: dict[str, object]) -> Wanted:
    hub = cast("dict[str, dict[str, str]]", values["model"])["hub"]
    revision = hub["revision"]
    return Wanted(model=key, repository=hub["repository"], revision=revision, prefix=folder_of(key, revision))


def _from_bucket(
    settings: StackSettings, store: ModelStore, wanted: Wanted, values: dict[str, object]
) -> dict[str, object]:
    """The values, with the stack's own bucket in place of the hub where settings say so."""
    if settings.model_store.source == "hub":
        return values
    path = store.bucket_name.apply(lambda bucket: f"s3://{bucket}/{wanted.prefix}")
    region = [{"name": "AWS_REGION", "value": settings.region}]
    model = {"path": path, "hub": {"repository": "", "revision": "", "existingSecret": ""}}
    return merged(values, {"model": model, "engine": {"extraEnv": region}})


def _reader(base: Foundation, store: ModelStore, key: str) -> PodIdentity:
    return PodIdentity(
        f"{key}-weights",
        PodIdentityArgs(
            cluster_name=base.cluster.cluster_name,
            namespace=NAMESPACE,
            service_account=key,
            policy=pulumi.Output.all(store.bucket_arn, base.key.arn).apply(
                lambda arns: read_policy(str(arns[0]), str(arns[1]))
            ),
            tags=base.tags,
        ),
        opts=pulumi.ResourceOptions(providers=[base.aws]),
    )


def _shared_cache(settings: StackSettings, base: Foundation, namespace: pulumi.Output[str]) -> SharedCache | None:
    said = settings.model_store
    if said.cache == "none":
        return None
    return SharedCache(
        f"{settings.name}-weights",
        SharedCacheArgs(
            kind=said.cache,
            size_gib=said.cache_gib,
            vpc_id=base.network.vpc_id,
            subnet_ids=base.network.private_subnet_ids,
            nodes_security_group_id=base.cluster.security_group_id,
            key_arn=base.key.arn,
            namespace=namespace,
            provider=base.cluster.provider,
            tags=base.tags,
        ),
        opts=base.options(*base.nodes_ready),
    )


def _entrance(settings: StackSettings, base: Foundation, services: Services, ops: Ops) -> pulumi.Input[str]:
    if services.edge is None:
        return f"http://{GATEWAY_SERVICE}.{NAMESPACE}.svc/v1"
    said = settings.edge
    return Entrance(
        f"{settings.name}-entrance",
        EntranceArgs(
            namespace=services.namespace.namespace,
            service=GATEWAY_SERVICE,
            public=said.kind == "public",
            hostname=said.hostname,
            hosted_zone=said.hosted_zone,
            certificate_arn=services.edge.certificate_arn,
            firewall_arn=services.edge.firewall_arn,
            allowed_cidrs=said.allowed_cidrs,
            provider=base.cluster.provider,
            tags=base.tags,
        ),
        opts=base.options(services.edge, ops),
    ).url
