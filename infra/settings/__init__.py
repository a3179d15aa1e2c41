"""The settings of a stack, checked as a whole before the first resource is made."""

from __future__ import annotations

from infra.schema import StackSettings
from infra.settings.load import examine, from_config, identify, load_plan, load_stack, load_unpriced
from infra.settings.problems import StackProblems

__all__ = [
    "StackProblems",
    "StackSettings",
    "examine",
    "from_config",
    "identify",
    "load_plan",
    "load_stack",
    "load_unpriced",
]
