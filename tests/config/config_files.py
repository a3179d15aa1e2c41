"""What the tests of this folder share: an environment with every key, a fixed day, the shapes of the fixtures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

from controller.config.settings import Settings
from controller.core.errors import Problem

TODAY = date(2026, 11, 5)
KEYS: Mapping[str, str] = dict.fromkeys(
    ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY", "TOGETHER_API_KEY"), "set"
)

Check = Callable[..., tuple[Problem, ...]]
Load = Callable[..., Settings]


def errors_of(problems: tuple[Problem, ...]) -> list[str]:
    """The keys that are refused, in the order told."""
    return [problem.key for problem in problems if problem.severity == "error"]
