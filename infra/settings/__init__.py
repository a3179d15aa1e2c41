"""The settings of a stack, checked as a whole before the first resource is made."""

from __future__ import annotations

from infra.settings.load import from_config, load_stack
from infra.settings.problems import StackProblems
from infra.settings.stack import StackSettings

__all__ = ["StackProblems", "StackSettings", "from_config", "load_stack"]
