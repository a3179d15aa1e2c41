"""Reads around what has the wrong shape, so that everything else is judged in the same run."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import cast

from pydantic import ValidationError

from controller.catalogue.document import Place
from infra.schema import StackSettings

# Enough for whatever is left to be judged; what they stand for is a problem already.
_STAND_INS: Mapping[str, object] = {
    "name": "unnamed",
    "region": "xx-none-1",
    "budget_usd_per_month": 100_000_000,
    "gpu_pools": {"none": {"instance_type": "none.none"}},
}


def salvaged(content: Mapping[str, object]) -> tuple[StackSettings, frozenset[str]]:
    """What can be read, and the sections (or entries of sections, `gpu_pools.a100`) that stand in for wrong ones."""
    rest: dict[str, object] = deepcopy(dict(content))
    replaced: set[str] = set()
    while True:  # each round takes away what the one before complained of, down to the stand-ins
        try:
            return StackSettings.model_validate(rest), frozenset(replaced)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                replaced.add(_take_away(rest, detail["loc"]))


def _take_away(rest: dict[str, object], loc: Place) -> str:
    """Afterwards neither the value nor, for a pool or model, the entry it stands in is there; says what went."""
    section = str(loc[0])
    below = rest.get(section)
    if section in {"gpu_pools", "models"} and len(loc) > 1 and isinstance(below, dict):
        cast("dict[object, object]", below).pop(loc[1], None)
        if below or section == "models":
            return f"{section}.{loc[1]}"
    rest.pop(section, None)
    if section in _STAND_INS:
        rest[section] = deepcopy(_STAND_INS[section])
    return section
