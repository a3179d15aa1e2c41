"""Whether one model can serve one request: capabilities, sizes, and somebody who serves it."""

from __future__ import annotations

from controller.core.models import Capability, Dialect, Model, Provider
from controller.core.pools import Pool
from controller.core.requests import Operation, RequestProfile

SMALL_TOKENS = 8192  # sizes up to here are told apart in small steps, larger ones in large steps
SMALL_STEP_TOKENS = 256
LARGE_STEP_TOKENS = 1024


def lack(
    profile: RequestProfile,
    model: Model,
    pool: Pool | None,
    provider: Provider | None,
    usable_providers: frozenset[str],
) -> str | None:
    """Why this model cannot serve the request, or None when it can."""
    missing = _needs(profile, own=pool is not None) - model.capabilities
    if missing:
        return "lacks " + ", ".join(sorted(missing))
    if pool is None:
        if model.is_own:
            return "no pool serves it"
        if provider is None or provider.name not in usable_providers:
            return f"no key for provider {model.provider}"
        if profile.operation is Operation.COMPLETION and provider.dialect is Dialect.ANTHROPIC:
            return "has no completions API"
    context_tokens = model.context_tokens
    if pool is not None:
        context_tokens = min(context_tokens, pool.engine.max_model_len_tokens)
    if total_tokens(profile) > context_tokens:
        return f"context of {context_tokens} tokens is too short"
    if output_tokens(profile) > max(model.max_output_tokens, SMALL_STEP_TOKENS):
        return f"answers at most {model.max_output_tokens} tokens"
    return None


def _needs(profile: RequestProfile, *, own: bool) -> frozenset[Capability]:
    """The capabilities a request asks for; tools and JSON are the engine's work on own pools, not the model's."""
    if profile.operation is Operation.EMBEDDINGS:
        return frozenset({Capability.EMBEDDINGS})
    needs = {Capability.TEXT}
    if profile.needs_vision:
        needs.add(Capability.VISION)
    if not own and profile.needs_tools:
        needs.add(Capability.FUNCTION_CALLING)
    if not own and profile.needs_json:
        needs.add(Capability.JSON)
    return frozenset(needs)


def total_tokens(profile: RequestProfile) -> int:
    """Input and output, rounded up to a step so that chains can be cached."""
    return _step_up(profile.input_tokens_estimate + profile.output_tokens_estimate)


def output_tokens(profile: RequestProfile) -> int:
    """Of the answer alone, rounded up likewise."""
    return _step_up(profile.output_tokens_estimate)


def _step_up(tokens: int) -> int:
    step_tokens = SMALL_STEP_TOKENS if tokens <= SMALL_TOKENS else LARGE_STEP_TOKENS
    return -(-tokens // step_tokens) * step_tokens
