"""Models on pools: both known, hosted by oneself, heads that divide, a licence token, and GPUs enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.catalogue import load_catalogue
from controller.catalogue.document import Document, Place
from controller.catalogue.refusals import problem_at
from controller.core.errors import Problem
from controller.core.models import Architecture, GpuShape, Model
from infra.checks.words import unknown
from infra.schema import GpuPoolSettings, ModelSettings, StackSettings

TAKEN_NAMES = frozenset({"spillway"})  # releases of models stand beside that of the gateway, in one namespace


def own_models() -> Mapping[str, Model]:
    """Models of the catalogue that pools can serve."""
    return {key: model for key, model in load_catalogue().models.items() if model.architecture is not None}


def check_models(settings: StackSettings, pool_names: frozenset[str], document: Document) -> Iterator[Problem]:
    """Model by model, then the licence token, then pool by pool. `pool_names`: also those with other problems."""
    for name, placed in settings.models.items():
        yield from _check_model(settings, name, placed, pool_names, document)
    yield from _check_token(settings, document)
    for name, pool in settings.gpu_pools.items():
        if pool.instance_type in load_catalogue().gpus:
            yield from _check_ledger(settings, name, pool, document)


def _check_model(
    settings: StackSettings, name: str, placed: ModelSettings, pool_names: frozenset[str], document: Document
) -> Iterator[Problem]:
    above: Place = ("models", name)
    if name in TAKEN_NAMES:
        yield problem_at(document, above, "is the name of the gateway's own release", "another name", name)
    if placed.pool not in pool_names:
        yield unknown(document, (*above, "pool"), "GPU pool", placed.pool, sorted(pool_names))
    model = own_models().get(placed.model)
    if model is None or model.architecture is None:
        yield unknown(document, (*above, "model"), "self-hosted model in the catalogue", placed.model, own_models())
        return
    if placed.max_model_len_tokens > model.context_tokens:
        yield problem_at(
            document, (*above, "max_model_len_tokens"), f"is more than {placed.model} can read",
            f"256 to {model.context_tokens}", placed.max_model_len_tokens,
        )  # fmt: skip
    yield from _check_split(above, placed, model.architecture, _shape(settings, placed), document)


def _shape(settings: StackSettings, placed: ModelSettings) -> GpuShape | None:
    pool = settings.gpu_pools.get(placed.pool)
    return None if pool is None else load_catalogue().gpus.get(pool.instance_type)


def _check_split(
    above: Place, placed: ModelSettings, model: Architecture, shape: GpuShape | None, document: Document
) -> Iterator[Problem]:
    at, parallel = (*above, "tensor_parallel"), placed.tensor_parallel
    good = [
        number for number in (1, 2, 4, 8, 16, 32) if splits(model, number) and (shape is None or number <= shape.gpus)
    ]
    allowed = f"one of {', '.join(map(str, good))}"
    if shape is not None and parallel > shape.gpus:
        yield problem_at(document, at, f"{shape.instance_type} has {shape.gpus} GPUs", allowed, parallel)
    if not splits(model, parallel):
        heads = f"{model.attention_heads} attention heads" if model.attention_heads else f"{model.kv_heads} KV heads"
        yield problem_at(document, at, f"does not divide the {heads} of {placed.model}", allowed, parallel)


def splits(model: Architecture, parallel: int) -> bool:
    """Whether each GPU gets as many heads as every other one."""
    whole = model.attention_heads is None or model.attention_heads % parallel == 0
    return whole and (model.kv_heads % parallel == 0 or parallel % model.kv_heads == 0)


def _check_token(settings: StackSettings, document: Document) -> Iterator[Problem]:
    gated = [
        placed.model
        for placed in settings.models.values()
        if (model := own_models().get(placed.model)) and model.architecture and model.architecture.gated
    ]
    if gated and settings.secrets.hf_token is None and settings.model_store.source == "hub":
        names = ", ".join(dict.fromkeys(gated))
        yield problem_at(
            document, ("secrets", "hf_token"),
            f"is missing: the weights of {names} are handed out to a licensed token alone",
            "the name of an entry in AWS Secrets Manager, such as spillway/prod/hf-token",
        )  # fmt: skip


def gpus_asked(settings: StackSettings, pool: str) -> int:
    """GPUs that the replicas of all models on the pool hold: sum of tensor_parallel x replicas."""
    return sum(placed.tensor_parallel * placed.replicas for placed in settings.models.values() if placed.pool == pool)


def _check_ledger(settings: StackSettings, name: str, pool: GpuPoolSettings, document: Document) -> Iterator[Problem]:
    gpus = load_catalogue().gpus[pool.instance_type].gpus
    asked, most, now = gpus_asked(settings, name), pool.max_nodes * gpus, pool.desired_nodes * gpus
    each = " + ".join(
        f"{key} {placed.tensor_parallel} x {placed.replicas}"
        for key, placed in settings.models.items()
        if placed.pool == name
    )
    if asked > most:
        yield problem_at(
            document, ("gpu_pools", name, "max_nodes"),
            f"{each} = {asked} GPUs, the pool has {pool.max_nodes} x {gpus} = {most}",
            f"{-(-asked // gpus)} or more, or fewer replicas", pool.max_nodes,
        )  # fmt: skip
    elif asked > now and settings.node_autoscaling.kind == "none":
        yield problem_at(
            document, ("gpu_pools", name, "desired_nodes"),
            f"{each} = {asked} GPUs, {pool.desired_nodes} x {gpus} = {now} are there and nothing adds nodes",
            f"{-(-asked // gpus)} or more, or spillway:node_autoscaling.kind other than none", pool.desired_nodes,
        )  # fmt: skip
    sizes = {placed.tensor_parallel for placed in settings.models.values() if placed.pool == name}
    if pool.max_nodes > 1 and len(sizes) > 1 and not settings.cluster.bin_packing:
        yield problem_at(
            document, ("cluster", "bin_packing"),
            f"replicas of {', '.join(map(str, sorted(sizes)))} GPUs on {name} are spread over its nodes:"
            f" {max(sizes)} GPUs of one node may never be free together",
            "true, or a pool for each size", settings.cluster.bin_packing, severity="warning",
        )  # fmt: skip
