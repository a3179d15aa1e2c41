"""Which model a request should go to, as one table of data; a user can replace it in spillway.yaml.

Rules are read from the top and the first match wins. Called by `choose` for the model `auto`, and by the config
package, which builds a `RuleTable` from the user's own rules.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.core.requests import Complexity, Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row: the model, and the conditions that must all hold. An empty set or None means "any"."""

    model: str
    phases: frozenset[Phase] = frozenset()
    tasks: frozenset[str] = frozenset()
    except_tasks: frozenset[str] = frozenset()
    complexities: frozenset[Complexity] = frozenset()
    needs_vision: bool | None = None

    def matches(self, phase: Phase, task: str | None, complexity: Complexity, *, needs_vision: bool) -> bool:
        """Whether every condition holds; a request without a task matches no rule that names tasks."""
        return (
            (not self.phases or phase in self.phases)
            and (not self.tasks or task in self.tasks)
            and task not in self.except_tasks
            and (not self.complexities or complexity in self.complexities)
            and (self.needs_vision is None or self.needs_vision is needs_vision)
        )

    def words(self) -> str:
        """The conditions as a person would say them; "always" when there are none."""
        parts = []
        if self.needs_vision is not None:
            parts.append("vision" if self.needs_vision else "no vision")
        parts += [" or ".join(sorted(names)) for names in (self.tasks, self.complexities) if names]
        parts += [f"not {name}" for name in sorted(self.except_tasks)]
        return ", ".join(parts) or "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTable:
    """Rules in order, and the model for requests that none of them matches."""

    rules: tuple[Rule, ...]
    default_model: str

    def model_keys(self) -> frozenset[str]:
        """Every catalogue key the table can choose, for checks at start."""
        return frozenset(rule.model for rule in self.rules) | {self.default_model}


_WITH_FINE_TUNES = frozenset({Phase.PHASE2, Phase.PHASE2_5})
_EXTERNAL = _WITH_FINE_TUNES | {Phase.PHASE1}
_PHASE3 = frozenset({Phase.PHASE3})
_SIMPLE = frozenset({Complexity.SIMPLE})
_CRITICAL = frozenset({Complexity.CRITICAL})
_CRITIQUE = frozenset({"critique"})

DEFAULT_RULES = RuleTable(
    rules=(
        Rule(model="claude-3-5-sonnet", needs_vision=True, complexities=_CRITICAL),
        Rule(model="gpt-4o", needs_vision=True),
        # Phase 3: a simple critique goes to the 8B on purpose, so this stands above the critique rule.
        Rule(model="llama-8b-self", phases=_PHASE3, complexities=_SIMPLE),
        Rule(model="claude-3-5-sonnet", phases=_PHASE3, tasks=_CRITIQUE),
        Rule(model="claude-3-5-sonnet", phases=_PHASE3, complexities=_CRITICAL),
        Rule(model="mixtral-8x7b-self", phases=_PHASE3),
        # Phase 2.5: simple work leaves the fine-tunes for Groq.
        Rule(
            model="llama-8b-groq",
            phases=frozenset({Phase.PHASE2_5}),
            complexities=_SIMPLE,
            except_tasks=_CRITIQUE,
        ),
        Rule(
            model="ft-ux-detector",
            phases=_WITH_FINE_TUNES,
            tasks=frozenset({"issue_detection", "classification"}),
        ),
        Rule(
            model="ft-strategy-planner",
            phases=_WITH_FINE_TUNES,
            tasks=frozenset({"test_strategy", "heuristic_weighting"}),
        ),
        Rule(model="claude-3-5-sonnet", phases=_EXTERNAL, tasks=_CRITIQUE),
        Rule(model="gpt-4o-mini", phases=_EXTERNAL, complexities=_SIMPLE),
    ),
    default_model="gpt-4o",
)


def select(
    table: RuleTable, phase: Phase, task: str | None, complexity: Complexity, needs_vision: bool
) -> tuple[str, str]:
    """The catalogue key of the first rule that matches, and the reason in words."""
    for rule in table.rules:
        if rule.matches(phase, task, complexity, needs_vision=needs_vision):
            return rule.model, f"{phase.value}: {rule.words()}"
    return table.default_model, f"{phase.value}: no rule matched, default"


def default_temperature(complexity: Complexity) -> float:
    """The temperature of `auto` requests whose caller set none."""
    return 0.1 if complexity is Complexity.SIMPLE else 0.3
