"""The chain of targets: planned from the rules, ordered by the live picture."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import RequestError
from controller.core.fleet import RoutingMode
from controller.core.models import Capability, Dialect
from controller.core.requests import Complexity, Operation, Phase, RequestProfile, Target
from controller.routing.choose import chain_key, choose, plan_chain
from controller.routing.classify import TASKS
from controller.routing.phases import RuleTable
from controller.routing.table import pools_by_model

from .builders import (
    MODELS,
    POOLS,
    TABLE,
    TODAY,
    external_target,
    keys,
    own_target,
    pool,
    profile,
    table,
    view,
)

LOCAL, SPILLING, EXTERNAL = RoutingMode.LOCAL, RoutingMode.SPILLING, RoutingMode.EXTERNAL


def refusal(**changes: object) -> RequestError:
    """The error that planning raises."""
    with pytest.raises(RequestError) as refused:
        plan_chain(profile(**changes), TABLE)
    return refused.value


def test_auto_goes_to_the_pool_then_its_spill_then_fallbacks() -> None:
    """Own pool, spill.to in order, fallbacks; each once, with the reason in words."""
    chain = plan_chain(profile(), TABLE)
    assert keys(chain) == ["llama-8b-self", "gpt-oss-20b-groq", "gpt-4o-mini", "mixtral-8x7b-self"]
    assert [target.reason for target in chain] == [
        "phase3: simple",
        "spill of llama-8b; llama-8b-groq is shut down",
        "spill of llama-8b",
        "fallback of llama-8b-self",
    ]
    assert [target.name for target in chain] == ["llama-8b", "groq", "openai", "mixtral-8x7b"]


@pytest.mark.parametrize(
    "name", ["llama-8b-self", "llama-8b", "llama-8b-self-id", "org/llama-8b-self"], ids=["key", "pool", "id", "weights"]
)
def test_a_model_can_be_asked_for_by_any_of_its_names(name: str) -> None:
    """Catalogue key, pool, provider's model id and the published name of the weights all work."""
    chain = plan_chain(profile(requested_model=name), TABLE)
    assert keys(chain)[0] == "llama-8b-self"
    assert chain[0].reason == "asked for by name"


def test_a_dead_model_is_replaced() -> None:
    """A name that is shut down leads to what replaces it, and says so."""
    chain = plan_chain(profile(requested_model="claude-3-5-sonnet"), TABLE)
    assert keys(chain) == ["claude-now"]
    assert chain[0].reason == "asked for by name; claude-3-5-sonnet is shut down"


def test_fallbacks_of_a_dead_model_and_of_its_replacement_both_count() -> None:
    """Fallbacks written for the old name still hold."""
    both = table(fallbacks={"claude-3-5-sonnet": ("gpt-4o-mini",), "claude-now": ("gpt-4o",)})
    chain = plan_chain(profile(requested_model="claude-3-5-sonnet"), both)
    assert keys(chain) == ["claude-now", "gpt-4o-mini", "gpt-4o"]


def test_an_unknown_model_is_404_with_close_matches() -> None:
    """A typo is answered with what was probably meant; nonsense with where to look."""
    error = refusal(requested_model="gpt-4o-mni")
    assert (error.status, error.code, error.param, error.should_retry) == (404, "model_not_found", "model", False)
    assert "gpt-4o-mini" in error.message
    assert "/v1/models" in refusal(requested_model="!").message
    assert refusal(requested_model="off").code == "model_not_found"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"requested_model": "gone"}, "gone: unknown, shut down"),
        ({"requested_model": "loop-a"}, "loop-a: unknown, shut down"),
        ({"requested_model": "keyless"}, "no key for provider together"),
        ({"requested_model": "orphan"}, "no key for provider nobody"),
        ({"requested_model": "poolless-self"}, "no pool serves it"),
        ({"requested_model": "small", "input_tokens_estimate": 4_000}, "context of 4096 tokens is too short"),
        ({"requested_model": "small", "output_tokens_estimate": 1_001}, "answers at most 1000 tokens"),
        ({"requested_model": "embed"}, "lacks text"),
        ({"requested_model": "ft-ux-detector", "needs_tools": True}, "lacks function_calling"),
        ({"requested_model": "gpt-4o", "input_tokens_estimate": 200_000}, "claude-3-5-sonnet: context of 128000"),
        ({"requested_model": "gpt-4o", "operation": Operation.EMBEDDINGS}, "lacks embeddings"),
        ({"requested_model": "claude-now", "operation": Operation.COMPLETION}, "no completions API"),
        ({"input_tokens_estimate": 200_000}, "context"),
    ],
)
def test_when_nothing_can_serve_the_refusal_says_why(changes: dict[str, object], why: str) -> None:
    """400 that names each model considered and what it lacks."""
    error = refusal(**changes)
    assert (error.status, error.code) == (400, "no_capable_model")
    assert why in error.message


def test_own_engines_do_tools_and_json_themselves() -> None:
    """A request with tools stays on the own pool; external targets must be able."""
    chain = plan_chain(profile(needs_tools=True, needs_json=True), TABLE)
    assert keys(chain)[0] == "llama-8b-self"
    no_json = table(models={**MODELS, "gpt-4o-mini": external_target("embed").model})
    assert "gpt-4o-mini" not in keys(plan_chain(profile(needs_json=True), no_json))


def test_a_long_prompt_leaves_the_pool_out() -> None:
    """The engine's max-model-len counts, not the model's context."""
    chain = plan_chain(profile(input_tokens_estimate=9_000), TABLE)
    assert keys(chain) == ["gpt-oss-20b-groq", "gpt-4o-mini"]


def test_auto_falls_to_the_default_model_when_nothing_planned_can() -> None:
    """Tools on a fine-tune without them: the rules' default serves instead of a refusal."""
    chain = plan_chain(profile(task="issue_detection", needs_tools=True), table(phase=Phase.PHASE2))
    assert keys(chain) == ["gpt-4o"]
    assert chain[0].reason == "default: nothing else can do it"


def test_auto_embeddings_take_the_cheapest_model() -> None:
    """Embedding models in order of price."""
    assert keys(plan_chain(profile(operation=Operation.EMBEDDINGS, output_tokens_estimate=0), TABLE)) == [
        "embed",
        "embed-dear",
    ]
    none = table(models={"gpt-4o": MODELS["gpt-4o"]})
    with pytest.raises(RequestError, match="no model is configured"):
        plan_chain(profile(operation=Operation.EMBEDDINGS), none)


def test_a_rule_may_name_a_model_that_does_not_exist() -> None:
    """The refusal says so rather than crashing."""
    broken = table(rules=RuleTable(rules=(), default_model="nope"))
    with pytest.raises(RequestError, match="nope: unknown"):
        plan_chain(profile(), broken)


def test_the_first_pool_of_a_model_serves_it() -> None:
    """Two pools of one model: the first configured one counts."""
    first, second = pool("a", "m"), pool("b", "m")
    assert pools_by_model([first, second]) == {"m": first}


REQUESTS = st.builds(
    profile,
    operation=st.sampled_from(list(Operation)),
    requested_model=st.sampled_from(["auto", *POOLS, *(key for key in MODELS if key != "off")]),
    task=st.none() | st.sampled_from(sorted(TASKS)),
    complexity=st.sampled_from(list(Complexity)),
    needs_vision=st.booleans(),
    needs_tools=st.booleans(),
    needs_json=st.booleans(),
    input_tokens_estimate=st.integers(0, 150_000),
    output_tokens_estimate=st.integers(0, 20_000),
)


@given(request=REQUESTS, phase=st.sampled_from(list(Phase)))
def test_a_chain_never_holds_a_dead_or_incapable_target(request: RequestProfile, phase: Phase) -> None:
    """Alive, enabled, usable, able and long enough, each model once; or a refusal."""
    try:
        chain = plan_chain(request, table(phase=phase))
    except RequestError:
        return
    assert chain
    assert len(set(keys(chain))) == len(chain)
    for target in chain:
        _check_able(target, request)


def _check_able(target: Target, request: RequestProfile) -> None:
    model, wanted = target.model, request
    assert model.enabled
    assert model.shutdown_date is None or model.shutdown_date > TODAY
    assert (target.pool is None) != (target.provider is None)
    context_tokens = model.context_tokens
    if target.pool is not None:
        context_tokens = min(context_tokens, target.pool.engine.max_model_len_tokens)
    else:
        assert target.provider.name in TABLE.usable_providers
    assert wanted.input_tokens_estimate + wanted.output_tokens_estimate <= context_tokens
    if wanted.operation is Operation.EMBEDDINGS:
        assert Capability.EMBEDDINGS in model.capabilities
        return
    assert not wanted.needs_vision or Capability.VISION in model.capabilities
    if target.provider is not None:
        assert not wanted.needs_tools or Capability.FUNCTION_CALLING in model.capabilities
        completion = wanted.operation is Operation.COMPLETION
        assert not (completion and target.provider.dialect is Dialect.ANTHROPIC)


@given(one=REQUESTS, other=REQUESTS, tokens=st.integers(0, 10_000))
def test_equal_keys_have_equal_chains(one: RequestProfile, other: RequestProfile, tokens: int) -> None:
    """The key holds everything a chain depends on, so caching on it is safe."""
    near = profile(input_tokens_estimate=tokens)
    nearer = profile(input_tokens_estimate=tokens + 1, tenant="other", prefixes=((9, 1),), stream=True, deadline_s=1.0)
    for left, right in combinations([one, other, near, nearer], 2):
        if chain_key(left) == chain_key(right):
            assert _planned(left) == _planned(right)


def _planned(request: RequestProfile) -> object:
    try:
        return plan_chain(request, TABLE)
    except RequestError as refused:
        return refused.message


OWN, OTHER_OWN, BOUGHT, BOUGHT_TOO = (
    own_target("llama-8b"),
    own_target("mixtral-8x7b"),
    external_target("gpt-4o"),
    external_target("gpt-4o-mini"),
)
CHAIN = (OWN, BOUGHT, OTHER_OWN, BOUGHT_TOO)


@pytest.mark.parametrize(
    ("modes", "spill_now", "order"),
    [
        ({}, False, CHAIN),
        ({}, True, CHAIN),
        ({"llama_8b": LOCAL}, True, CHAIN),
        ({"llama_8b": SPILLING}, False, CHAIN),
        ({"llama_8b": SPILLING}, True, (BOUGHT, OWN, OTHER_OWN, BOUGHT_TOO)),
        ({"llama_8b": EXTERNAL}, False, (BOUGHT, OTHER_OWN, BOUGHT_TOO, OWN)),
        ({"mixtral_8x7b": SPILLING}, True, CHAIN),
        ({"mixtral_8x7b": EXTERNAL}, False, (OWN, BOUGHT, BOUGHT_TOO, OTHER_OWN)),
        ({"llama_8b": SPILLING, "mixtral_8x7b": EXTERNAL}, True, (BOUGHT, OWN, BOUGHT_TOO, OTHER_OWN)),
        ({"llama_8b": EXTERNAL, "mixtral_8x7b": EXTERNAL}, False, (BOUGHT, BOUGHT_TOO, OWN, OTHER_OWN)),
    ],
)
def test_the_mode_of_a_pool_orders_the_chain(
    modes: dict[str, RoutingMode], spill_now: bool, order: tuple[Target, ...]
) -> None:
    """External goes last, spilling goes behind the first external when the gate says so; nothing is lost."""
    chosen = choose(profile(), CHAIN, view(**modes), spill_now=spill_now)
    assert [target.name for target in chosen] == [target.name for target in order]
    assert sorted(keys(chosen)) == sorted(keys(CHAIN))


@pytest.mark.parametrize(
    ("mode", "words"),
    [(SPILLING, "pool llama-8b is spilling; bought"), (EXTERNAL, "pool llama-8b is External; bought")],
)
def test_a_spilled_request_says_so(mode: RoutingMode, words: str) -> None:
    """The first target's reason names the pool and its mode."""
    assert choose(profile(), CHAIN, view(llama_8b=mode), spill_now=True)[0].reason == words


@pytest.mark.parametrize("mode", list(RoutingMode))
def test_with_nowhere_to_go_the_own_pool_is_still_tried(mode: RoutingMode) -> None:
    """A chain of own targets keeps them, whatever the mode."""
    assert choose(profile(), (OWN,), view(llama_8b=mode), spill_now=True) == (OWN,)


@pytest.mark.parametrize("mode", list(RoutingMode))
def test_a_caller_may_forbid_spilling(mode: RoutingMode) -> None:
    """Own targets only, in any mode; without any the request is refused."""
    request = profile(spill_allowed=False)
    assert choose(request, CHAIN, view(llama_8b=mode), spill_now=True) == (OWN, OTHER_OWN)
    with pytest.raises(RequestError) as refused:
        choose(request, (BOUGHT,), view(), spill_now=False)
    assert (refused.value.status, refused.value.code) == (400, "no_own_target")
