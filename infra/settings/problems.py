"""How a stack is refused: with every problem at once."""

from __future__ import annotations

from controller.core.errors import ConfigError


class StackProblems(ConfigError):
    """The settings of a stack cannot be built; `problems` names key, value and allowed values of each."""
