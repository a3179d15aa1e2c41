"""Turns the facts of a request into the profile that routing works on; runs once per request, in microseconds.

Complexity comes from, in order: the caller's own word; the task's tier; a heuristic on size and shape. The heuristic
never says critical: only a caller or a task may ask for the dearest model. Tier 3 tasks are critical unless the caller
says otherwise, which keeps them on external models in every phase.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from controller.core.errors import RequestError
from controller.core.records import record
from controller.core.requests import Complexity, Operation, Priority, RequestProfile
from controller.core.tenants import UNLIMITED, TenantPolicy
from controller.routing.phases import RuleTable

TASKS: Mapping[str, int] = MappingProxyType(
    {
        "selector_generation": 1,
        "data_extraction": 1,
        "classification": 1,
        "issue_detection": 1,
        "form_validation": 1,
        "test_strategy": 2,
        "heuristic_weighting": 2,
        "behavior_analysis": 2,
        "session_generation": 2,
        "screenshot_analysis": 2,
        "recommendation": 2,
        "vision_analysis": 3,
        "critique": 3,
        "meta_analysis": 3,
        "divergence_analysis": 3,
        "novel_pattern_detection": 3,
        "high_stakes_recommendation": 3,
    }
)
TIER_COMPLEXITY: Mapping[int, Complexity] = MappingProxyType(
    {1: Complexity.SIMPLE, 2: Complexity.MEDIUM, 3: Complexity.CRITICAL}
)
OUTPUT_TOKENS: Mapping[Complexity, int] = MappingProxyType(
    {Complexity.SIMPLE: 128, Complexity.MEDIUM: 384, Complexity.COMPLEX: 768, Complexity.CRITICAL: 768}
)
BYTES_PER_TOKEN = 4
TOKENS_PER_IMAGE = 800

_COMPLEXITIES: Mapping[str, Complexity] = MappingProxyType({item.value: item for item in Complexity})
_RANKS: Mapping[Priority, int] = MappingProxyType({priority: rank for rank, priority in enumerate(Priority)})
_SIMPLE_INPUT_TOKENS = 500
_SIMPLE_JSON_INPUT_TOKENS = 2000  # pulling fields out of a page is simple although the page is long
_SIMPLE_MESSAGES = 4
_SHORT_ANSWER_TOKENS = 64
_COMPLEX_INPUT_TOKENS = 8000
_COMPLEX_MESSAGES = 20
_COMPLEX_TOOLS = 8
_LONG_ANSWER_TOKENS = 4000


@record
class RequestFacts:
    """What decoding saw of a request: counts and the caller's own words, never its text."""

    operation: Operation
    requested_model: str
    explicit_task: str | None = None
    explicit_complexity: str | None = None
    text_bytes: int = 0
    message_count: int = 1
    image_count: int = 0
    tool_count: int = 0
    json_output: bool = False
    max_tokens: int | None = None
    prefixes: tuple[tuple[int, int], ...] = ()
    tenant: str = ""
    stream: bool = False
    spill_allowed: bool = True
    deadline_s: float | None = None
    answer_within_s: float | None = None
    max_cost_nanousd: int | None = None
    priority: Priority | None = None  # None: the caller did not say
    client_retries: int = 0


def known_tasks(table: RuleTable) -> Mapping[str, int]:
    """The built-in tasks, and those that only the user's rules name (tier 2)."""
    named = {task: 2 for rule in table.rules for task in (*rule.tasks, *rule.except_tasks)}
    return MappingProxyType({**named, **TASKS})


def classify(facts: RequestFacts, tasks: Mapping[str, int] = TASKS, policy: TenantPolicy = UNLIMITED) -> RequestProfile:
    """The profile of a request; a task or complexity nobody knows is refused, with the allowed values."""
    input_tokens = -(-facts.text_bytes // BYTES_PER_TOKEN) + facts.image_count * TOKENS_PER_IMAGE
    complexity, source = _complexity(facts, input_tokens, tasks)
    if facts.operation is Operation.EMBEDDINGS:
        output_tokens = 0
    elif facts.max_tokens is not None:
        output_tokens = facts.max_tokens
    else:
        output_tokens = OUTPUT_TOKENS[complexity]
    return RequestProfile(
        operation=facts.operation,
        requested_model=facts.requested_model,
        task=facts.explicit_task,
        complexity=complexity,
        complexity_source=source,
        needs_vision=facts.image_count > 0,
        needs_tools=facts.tool_count > 0,
        needs_json=facts.json_output,
        input_tokens_estimate=input_tokens,
        output_tokens_estimate=output_tokens,
        prefixes=facts.prefixes,
        tenant=facts.tenant,
        stream=facts.stream,
        spill_allowed=facts.spill_allowed,
        deadline_s=facts.deadline_s,
        answer_within_s=facts.answer_within_s,
        max_cost_nanousd=facts.max_cost_nanousd,
        priority=_priority(facts.priority, policy.priority),
        reach=policy.reach,
    )


def _priority(asked: Priority | None, highest: Priority | None) -> Priority:
    """The class asked for, but none above the tenant's; the tenant's own, or the middle one, when none was."""
    if asked is None:
        return highest or Priority.STANDARD
    return asked if highest is None or _RANKS[asked] >= _RANKS[highest] else highest


def _complexity(facts: RequestFacts, input_tokens: int, tasks: Mapping[str, int]) -> tuple[Complexity, str]:
    """The complexity, and where it came from."""
    tier = None
    if facts.explicit_task is not None:
        tier = tasks.get(facts.explicit_task)
        if tier is None:
            raise _unknown("task", facts.explicit_task, sorted(tasks))
    if facts.explicit_complexity is not None:
        explicit = _COMPLEXITIES.get(facts.explicit_complexity)
        if explicit is None:
            raise _unknown("complexity", facts.explicit_complexity, list(_COMPLEXITIES))
        return explicit, "explicit"
    if tier is not None:
        return TIER_COMPLEXITY[tier], "task"
    return _guess(facts, input_tokens), "heuristic"


def _guess(facts: RequestFacts, input_tokens: int) -> Complexity:
    """Simple when small, complex when large in any one respect, else medium; never critical."""
    if facts.operation is Operation.EMBEDDINGS:
        return Complexity.SIMPLE
    max_tokens = facts.max_tokens
    if (
        input_tokens > _COMPLEX_INPUT_TOKENS
        or facts.message_count > _COMPLEX_MESSAGES
        or facts.tool_count > _COMPLEX_TOOLS
        or (max_tokens is not None and max_tokens > _LONG_ANSWER_TOKENS)
    ):
        return Complexity.COMPLEX
    simple_tokens = _SIMPLE_JSON_INPUT_TOKENS if facts.json_output else _SIMPLE_INPUT_TOKENS
    is_short = max_tokens is not None and max_tokens <= _SHORT_ANSWER_TOKENS
    if (
        facts.tool_count == 0
        and facts.message_count <= _SIMPLE_MESSAGES
        and (is_short or input_tokens <= simple_tokens)
    ):
        return Complexity.SIMPLE
    return Complexity.MEDIUM


def _unknown(what: str, value: str, allowed: list[str]) -> RequestError:
    """A refusal that names the value and what is allowed."""
    return RequestError(
        f"unknown {what} {value[:64]!r}; allowed: {', '.join(allowed)}",
        status=400,
        code=f"unknown_{what}",
        param=f"x-spillway-{what}",
        should_retry=False,
    )
