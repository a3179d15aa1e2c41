"""What kind of request it is."""

from __future__ import annotations

from timeit import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import RequestError
from controller.core.requests import ANYWHERE, Complexity, Operation, Priority, Reach
from controller.core.tenants import TenantPolicy
from controller.routing.classify import OUTPUT_TOKENS, TASKS, RequestFacts, classify, known_tasks
from controller.routing.phases import DEFAULT_RULES, Rule, RuleTable


def facts(**changes: object) -> RequestFacts:
    """A chat request for `auto`."""
    values: dict[str, object] = {"operation": Operation.CHAT, "requested_model": "auto", **changes}
    return RequestFacts(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("task", "tier"), TASKS.items())
def test_the_tier_of_a_task_sets_its_complexity(task: str, tier: int) -> None:
    """Tier 1 is simple, tier 2 medium, tier 3 critical, however large the request is."""
    profile = classify(facts(explicit_task=task, text_bytes=100_000))
    assert profile.complexity.value == {1: "simple", 2: "medium", 3: "critical"}[tier]
    assert profile.complexity_source == "task"
    assert profile.task == task


def test_the_callers_word_outranks_the_task() -> None:
    """An explicit complexity stands."""
    profile = classify(facts(explicit_task="critique", explicit_complexity="simple"))
    assert (profile.complexity, profile.complexity_source) == (Complexity.SIMPLE, "explicit")


@pytest.mark.parametrize(
    ("changes", "code", "allowed"),
    [
        ({"explicit_task": "dance"}, "unknown_task", "critique"),
        ({"explicit_task": "dance", "explicit_complexity": "simple"}, "unknown_task", "critique"),
        ({"explicit_complexity": "hard"}, "unknown_complexity", "simple, medium, complex, critical"),
    ],
    ids=["task", "task-with-complexity", "complexity"],
)
def test_unknown_words_are_refused_with_the_allowed_ones(changes: dict[str, object], code: str, allowed: str) -> None:
    """400 that names the value and what is allowed."""
    with pytest.raises(RequestError) as refused:
        classify(facts(**changes))
    assert (refused.value.status, refused.value.code) == (400, code)
    assert allowed in refused.value.message


@pytest.mark.parametrize(
    ("changes", "complexity"),
    [
        ({"text_bytes": 400}, "simple"),
        ({"text_bytes": 2000}, "simple"),
        ({"text_bytes": 2004}, "medium"),
        ({"text_bytes": 8000, "json_output": True}, "simple"),
        ({"text_bytes": 8004, "json_output": True}, "medium"),
        ({"text_bytes": 8000, "max_tokens": 64}, "simple"),
        ({"text_bytes": 8000, "max_tokens": 65}, "medium"),
        ({"message_count": 5}, "medium"),
        ({"message_count": 21}, "complex"),
        ({"tool_count": 1}, "medium"),
        ({"tool_count": 9}, "complex"),
        ({"text_bytes": 32_004}, "complex"),
        ({"max_tokens": 4001}, "complex"),
        ({"image_count": 1}, "medium"),
        ({"operation": Operation.EMBEDDINGS, "text_bytes": 1_000_000}, "simple"),
    ],
)
def test_without_a_word_size_and_shape_decide(changes: dict[str, object], complexity: str) -> None:
    """Small is simple, large in any one respect is complex."""
    profile = classify(facts(**changes))
    assert (profile.complexity.value, profile.complexity_source) == (complexity, "heuristic")


@given(
    text_bytes=st.integers(0, 10**8),
    message_count=st.integers(0, 10_000),
    image_count=st.integers(0, 1000),
    tool_count=st.integers(0, 1000),
    json_output=st.booleans(),
    max_tokens=st.none() | st.integers(1, 10**6),
)
def test_the_heuristic_never_says_critical(**changes: object) -> None:
    """Only a caller or a task may ask for the dearest model; needs follow from the facts."""
    profile = classify(facts(**changes))
    assert profile.complexity is not Complexity.CRITICAL
    assert profile.needs_vision is (changes["image_count"] != 0)
    assert profile.needs_tools is (changes["tool_count"] != 0)
    assert profile.needs_json is changes["json_output"]


def test_tokens_are_estimated_from_bytes_images_and_the_limit() -> None:
    """Four bytes per token, 800 tokens per image; the answer by max_tokens, else by complexity."""
    profile = classify(facts(text_bytes=10, image_count=2, max_tokens=7))
    assert (profile.input_tokens_estimate, profile.output_tokens_estimate) == (1603, 7)
    assert classify(facts(explicit_complexity="complex")).output_tokens_estimate == OUTPUT_TOKENS[Complexity.COMPLEX]
    assert classify(facts(operation=Operation.EMBEDDINGS, max_tokens=9)).output_tokens_estimate == 0


def test_the_rest_is_passed_on() -> None:
    """Name, tenant, prefix, stream, deadline and the refusal to spill arrive unchanged."""
    profile = classify(
        facts(requested_model="m", tenant="t", prefixes=((5, 9),), stream=True, spill_allowed=False, deadline_s=3.0)
    )
    assert (profile.requested_model, profile.tenant, profile.prefixes) == ("m", "t", ((5, 9),))
    assert (profile.stream, profile.spill_allowed, profile.deadline_s) == (True, False, 3.0)


HIGH, MIDDLE, LOW = Priority


@pytest.mark.parametrize(
    ("asked", "of_tenant", "got"),
    [
        (None, None, MIDDLE),
        (HIGH, None, HIGH),
        (LOW, None, LOW),
        (None, LOW, LOW),
        (None, HIGH, HIGH),
        (HIGH, LOW, LOW),
        (HIGH, MIDDLE, MIDDLE),
        (MIDDLE, MIDDLE, MIDDLE),
        (LOW, HIGH, LOW),
    ],
)
def test_priority(asked: Priority | None, of_tenant: Priority | None, got: Priority) -> None:
    """The caller's class up to the tenant's; unsaid, the tenant's or the middle one."""
    assert classify(facts(priority=asked), policy=TenantPolicy(priority=of_tenant)).priority is got


def test_the_tenants_reach_goes_along() -> None:
    """As the policy has it."""
    reach = Reach(own_only=True)
    assert classify(facts(), policy=TenantPolicy(reach=reach)).reach is reach
    assert classify(facts()).reach is ANYWHERE


def test_tasks_of_the_users_rules_are_known() -> None:
    """A task that only a rule names is medium; built-in tasks keep their tier."""
    table = RuleTable(
        rules=(Rule(model="m", tasks=frozenset({"poetry", "critique"}), except_tasks=frozenset({"prose"})),),
        default_model="m",
    )
    tasks = known_tasks(table)
    assert (tasks["poetry"], tasks["prose"], tasks["critique"]) == (2, 2, 3)
    assert classify(facts(explicit_task="poetry"), tasks).complexity is Complexity.MEDIUM
    assert known_tasks(DEFAULT_RULES) == TASKS


def test_classifying_costs_microseconds() -> None:
    """Ten microseconds on a quiet machine; the bar here is loose, to hold on a busy one."""
    given_facts = facts(explicit_task="critique", text_bytes=4000)
    assert min(repeat(lambda: classify(given_facts), number=200, repeat=20)) / 200 < 100e-6
