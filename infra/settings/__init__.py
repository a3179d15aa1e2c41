"""The settings of a stack, checked as a whole before the first resource is made."""

from __future__ import annotations

from infra.schema import StackSettings
from infra.settings.load import from_config, load_plan, load_stack
from infra.settings.problems import StackProblems

__all__ = ["StackProblems", "StackSettings", "from_config", "load_plan", "load_stack"]
