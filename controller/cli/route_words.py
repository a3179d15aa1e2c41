"""An explanation of `spillway route explain` as lines for a person and as one document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from controller.core.money import Usage, cost_nanousd, usd

if TYPE_CHECKING:
    from controller.cli.route import Explanation
    from controller.core.requests import Target

SOURCES = {
    "explicit": "said by the caller",
    "task": "from its task",
    "heuristic": "guessed from its size and shape",
}


def lines_of(found: Explanation) -> Iterator[str]:
    """The profile, the chain, what was passed over."""
    profile = found.profile
    yield "Request"
    yield f"  asked for   {profile.operation.value}, model {profile.requested_model}{_manner(found)}"
    yield f"  tenant      {profile.tenant}, priority {profile.priority}"
    yield f"  task        {_task(found)}"
    yield f"  complexity  {profile.complexity.value}, {SOURCES[profile.complexity_source]}"
    yield f"  needs       {', '.join(_needs(found)) or 'text only'}"
    yield f"  tokens      about {profile.input_tokens_estimate} in, {profile.output_tokens_estimate} out"
    yield f"  phase       {found.settings.phase.value}"
    yield ""
    yield "Chain, in the order of trying"
    for number, target in enumerate(found.chain, 1):
        yield f"  {number}. {_place(target)}  {target.model.model_id}"
        yield f"     {_price(found, target)}"
        yield f"     because {target.reason}"
        skip = found.skips.get(target.model.key)
        if skip is not None:
            yield f"     passed over now: {skip}"
    if found.passed_over:
        yield ""
        yield "Passed over"
        for key, why in found.passed_over.items():
            yield f"  {key}: {why}"


def document_of(found: Explanation) -> dict[str, object]:
    """The same as data. Money is exact text."""
    profile = found.profile
    return {
        "operation": profile.operation,
        "requested_model": profile.requested_model,
        "phase": found.settings.phase,
        "tenant": profile.tenant,
        "priority": profile.priority,
        "own_gpus_only": profile.reach.own_only,
        "stream": profile.stream,
        "task": profile.task,
        "task_tier": _tier(found),
        "complexity": profile.complexity,
        "complexity_source": profile.complexity_source,
        "needs_vision": profile.needs_vision,
        "needs_tools": profile.needs_tools,
        "needs_json": profile.needs_json,
        "spill_allowed": profile.spill_allowed,
        "input_tokens": profile.input_tokens_estimate,
        "output_tokens": profile.output_tokens_estimate,
        "chain": [_link(found, target) for target in found.chain],
        "passed_over": [{"model": key, "reason": why} for key, why in found.passed_over.items()],
        "notes": found.notes,
    }


def _link(found: Explanation, target: Target) -> dict[str, object]:
    price = target.model.price
    return {
        "target": target.name,
        "kind": target.kind,
        "model": target.model.key,
        "model_id": target.model.model_id,
        "simulated": target.provider.simulated if target.provider is not None else None,
        "usd_per_mtok_in": f"{price.usd_per_mtok_in.normalize():f}",
        "usd_per_mtok_out": f"{price.usd_per_mtok_out.normalize():f}",
        "price_source": price.source,
        "price_as_of": price.as_of,
        "estimated_cost_usd": _cost(found, target),
        "reason": target.reason,
        "passed_over_now": found.skips.get(target.model.key),
    }


def _manner(found: Explanation) -> str:
    words = ", streamed" if found.profile.stream else ""
    return f"{words}, own pools only" if found.profile.reach.own_only or not found.profile.spill_allowed else words


def _tier(found: Explanation) -> int | None:
    from controller.routing.classify import known_tasks

    return None if found.profile.task is None else known_tasks(found.settings.rules)[found.profile.task]


def _task(found: Explanation) -> str:
    return "<none>" if found.profile.task is None else f"{found.profile.task}, tier {_tier(found)}"


def _needs(found: Explanation) -> list[str]:
    profile = found.profile
    wanted = {"vision": profile.needs_vision, "tools": profile.needs_tools, "JSON": profile.needs_json}
    return [name for name, needed in wanted.items() if needed]


def _place(target: Target) -> str:
    if target.provider is None:
        return f"pool {target.name}"
    return f"{target.name} (simulated)" if target.provider.simulated else target.name


def _cost(found: Explanation, target: Target) -> str:
    profile = found.profile
    usage = Usage(
        input_tokens=profile.input_tokens_estimate, output_tokens=profile.output_tokens_estimate * found.decoded.n
    )
    return f"{usd(cost_nanousd(target.model.price, usage)):f}"


def _price(found: Explanation, target: Target) -> str:
    price = target.model.price
    kind = "list price" if target.provider is not None else "planning price"
    per_mtok = f"${price.usd_per_mtok_in.normalize():f} in, ${price.usd_per_mtok_out.normalize():f} out per Mtok"
    return f"about ${_cost(found, target)} at the {kind} of {per_mtok}"
