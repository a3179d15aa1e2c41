"""The phase rules against an oracle written from the text of the rules, not from the table."""

from __future__ import annotations

from itertools import product

import pytest

from controller.core.requests import Complexity, Phase
from controller.routing.classify import TASKS
from controller.routing.phases import DEFAULT_RULES, Rule, RuleTable, default_temperature, select


def oracle(phase: str, task: str | None, complexity: str, *, needs_vision: bool) -> str:
    """The rules as a person reads them."""
    if needs_vision:
        return "claude-3-5-sonnet" if complexity == "critical" else "gpt-4o"
    if phase == "phase3":
        if complexity == "simple":
            return "llama-8b-self"
        if complexity in ("medium", "complex") and task != "critique":
            return "mixtral-8x7b-self"
        if task == "critique" or complexity == "critical":
            return "claude-3-5-sonnet"
        return "mixtral-8x7b-self"
    if phase == "phase2.5" and complexity == "simple" and task != "critique":
        return "llama-8b-groq"
    if phase in ("phase2", "phase2.5"):
        if task in ("issue_detection", "classification"):
            return "ft-ux-detector"
        if task in ("test_strategy", "heuristic_weighting"):
            return "ft-strategy-planner"
    if task == "critique":
        return "claude-3-5-sonnet"
    return "gpt-4o-mini" if complexity == "simple" else "gpt-4o"


@pytest.mark.parametrize("phase", list(Phase))
def test_every_combination_goes_where_the_rules_say(phase: Phase) -> None:
    """Every task x complexity x vision of the phase picks the oracle's model, with a reason that names the phase."""
    combinations = list(product([*TASKS, None, "never_heard_of"], Complexity, (False, True)))
    assert len(combinations) == 19 * 4 * 2
    for task, complexity, needs_vision in combinations:
        key, reason = select(DEFAULT_RULES, phase, task, complexity, needs_vision)
        assert key == oracle(phase.value, task, complexity.value, needs_vision=needs_vision), (task, complexity)
        assert reason.startswith(phase.value + ": ")


def test_there_are_four_phases() -> None:
    """The oracle covers all phases there are."""
    assert [phase.value for phase in Phase] == ["phase1", "phase2", "phase2.5", "phase3"]


def test_the_first_matching_rule_wins() -> None:
    """A user's table is read from the top, and falls to its default."""
    table = RuleTable(
        rules=(Rule(model="a", tasks=frozenset({"x"}), needs_vision=False), Rule(model="b", tasks=frozenset({"x"}))),
        default_model="c",
    )
    assert select(table, Phase.PHASE1, "x", Complexity.SIMPLE, False) == ("a", "phase1: no vision, x")
    assert select(table, Phase.PHASE1, "x", Complexity.SIMPLE, True) == ("b", "phase1: x")
    assert select(table, Phase.PHASE1, None, Complexity.SIMPLE, True)[0] == "c"
    assert table.model_keys() == {"a", "b", "c"}


def test_a_rule_says_its_conditions_in_words() -> None:
    """Reasons read like a sentence; a rule without conditions says so."""
    rule = Rule(
        model="m",
        needs_vision=True,
        tasks=frozenset({"b", "a"}),
        complexities=frozenset({Complexity.SIMPLE}),
        except_tasks=frozenset({"z"}),
    )
    assert rule.words() == "vision, a or b, simple, not z"
    assert Rule(model="m").words() == "always"


@pytest.mark.parametrize("complexity", list(Complexity))
def test_simple_requests_are_cooler(complexity: Complexity) -> None:
    """0.1 for simple, 0.3 otherwise."""
    assert default_temperature(complexity) == (0.1 if complexity.value == "simple" else 0.3)
