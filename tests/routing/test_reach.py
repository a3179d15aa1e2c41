"""Where a tenant's requests may go: its models, with or without `auto`, and own GPUs only."""

from __future__ import annotations

from itertools import combinations

import pytest

from controller.core.errors import RequestError
from controller.core.requests import ANYWHERE, Complexity, Operation, Reach, TargetKind
from controller.routing.choose import chain_key, passed_over, plan_chain

from .builders import keys, profile, table

OWN = Reach(own_only=True)
RULES = table()


def some(*models: str, auto: bool = True, own_only: bool = False) -> Reach:
    """A reach of these models."""
    return Reach(models=frozenset(models), auto=auto, own_only=own_only)


CHAINS = {
    # who may what, asking for what: where it goes
    "auto within the models": (some("gpt-4o-mini", "llama-8b-self"), {}, ["llama-8b-self", "gpt-4o-mini"]),
    "auto when the rules want none of them": (some("claude-now", "small"), {}, ["claude-now", "small"]),
    "auto takes the cheapest of them first": (
        some("embed-dear", "embed"),
        {"operation": Operation.EMBEDDINGS, "output_tokens_estimate": 0},
        ["embed", "embed-dear"],
    ),
    "embeddings within the models": (
        some("embed-dear"),
        {"operation": Operation.EMBEDDINGS, "output_tokens_estimate": 0},
        ["embed-dear"],
    ),
    "by name": (some("gpt-4o"), {"requested_model": "gpt-4o"}, ["gpt-4o"]),
    "by pool": (some("llama-8b-self", auto=False), {"requested_model": "llama-8b"}, ["llama-8b-self"]),
    "by the provider's id": (some("gpt-4o"), {"requested_model": "gpt-4o-id"}, ["gpt-4o"]),
    "what replaces a model that was named": (
        some("claude-3-5-sonnet"),
        {"requested_model": "claude-3-5-sonnet"},
        ["claude-now"],
    ),
    "own GPUs only": (OWN, {"requested_model": "llama-8b"}, ["llama-8b-self", "mixtral-8x7b-self"]),
    "own instead of what the rules buy": (
        OWN,
        {"complexity": Complexity.CRITICAL, "task": "critique"},
        ["llama-8b-self", "mixtral-8x7b-self"],
    ),
    "own of some": (some("gpt-4o", "mixtral-8x7b-self", own_only=True), {}, ["mixtral-8x7b-self"]),
}


@pytest.mark.parametrize(("reach", "changes", "chain"), CHAINS.values(), ids=CHAINS.keys())
def test_chains_stay_within_reach(reach: Reach, changes: dict[str, object], chain: list[str]) -> None:
    """Rules, spill and fallbacks alike; `auto` finds something as long as anything allowed can do it."""
    assert keys(plan_chain(profile(reach=reach, **changes), RULES)) == chain


REFUSED = {
    "a model": (some("gpt-4o"), {"requested_model": "claude-now"}, 403, "model_not_allowed"),
    "a pool": (some("gpt-4o"), {"requested_model": "llama-8b"}, 403, "model_not_allowed"),
    "auto": (some("gpt-4o", auto=False), {}, 403, "model_not_allowed"),
    "auto for embeddings": (
        some("gpt-4o", auto=False),
        {"operation": Operation.EMBEDDINGS},
        403,
        "model_not_allowed",
    ),
    "nobody's model": (some("gpt-4o"), {"requested_model": "gpt-nothing"}, 404, "model_not_found"),
    "all too small": (some("small"), {"input_tokens_estimate": 9_000}, 400, "no_capable_model"),
    "bought, but own only": (OWN, {"requested_model": "claude-now"}, 403, "residency"),
    "no own model can": (OWN, {"needs_vision": True}, 403, "residency"),
    "no own model is long enough": (OWN, {"input_tokens_estimate": 9_000}, 403, "residency"),
}


@pytest.mark.parametrize(("reach", "changes", "status", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_out_of_reach_is_refused(reach: Reach, changes: dict[str, object], status: int, code: str) -> None:
    """For good: the SDKs need not try again."""
    with pytest.raises(RequestError) as caught:
        plan_chain(profile(reach=reach, **changes), RULES)
    assert (caught.value.status, caught.value.code, caught.value.should_retry) == (status, code, False)
    assert (caught.value.kind == "permission_error") == (status == 403)


def test_a_typing_error_is_answered_from_what_the_tenant_may_use() -> None:
    """The names of other models stay hidden."""
    for reach, hint in ((ANYWHERE, "gpt-4o-mini"), (some("gpt-4o"), "gpt-4o")):
        with pytest.raises(RequestError) as caught:
            plan_chain(profile(reach=reach, requested_model="gpt-4o-mni"), RULES)
        assert hint in caught.value.message
    assert "gpt-4o-mini" not in caught.value.message


def test_an_explanation_says_whose_word_it_was() -> None:
    """Passed over for the tenant's sake."""
    reach = some("llama-8b-self", "gpt-4o-mini", own_only=True)
    assert passed_over(profile(reach=reach), RULES) == {
        "llama-8b-groq": "not among the models of this tenant",
        "gpt-4o-mini": "outside of own GPUs",
        "mixtral-8x7b-self": "not among the models of this tenant",
    }


@pytest.mark.parametrize("model", ["auto", "gpt-4o", "llama-8b"])
def test_chains_of_different_reaches_are_cached_apart(model: str) -> None:
    """Whatever one tenant was planned is no other's."""
    reaches = (ANYWHERE, OWN, some("gpt-4o"), some("gpt-4o", auto=False), some("gpt-4o", own_only=True))
    for one, other in combinations(reaches, 2):
        assert chain_key(profile(reach=one, requested_model=model)) != chain_key(
            profile(reach=other, requested_model=model)
        )
    assert chain_key(profile(reach=some("gpt-4o"))) == chain_key(profile(reach=some("gpt-4o")))


def test_no_own_only_chain_ever_leaves() -> None:
    """Whatever is asked for by whatever name."""
    for name in ("auto", *RULES.models, *RULES.pools):
        for complexity in Complexity:
            try:
                chain = plan_chain(profile(reach=OWN, requested_model=name, complexity=complexity), RULES)
            except RequestError:
                continue
            assert {target.kind for target in chain} == {TargetKind.OWN}
