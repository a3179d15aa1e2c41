"""The page of the keys has every key and its default, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel

from infra.schema import GpuPoolSettings, ModelSettings, StackSettings

PAGE = (Path(__file__).parents[2] / "infra/schema/README.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \| ", PAGE, re.MULTILINE))
PER_NAME: Mapping[str, type[BaseModel]] = {"gpu_pools": GpuPoolSettings, "models": ModelSettings}


def keys(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, object]]:
    """Every key below a section, with its default; `...` where it has none."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys(kind, f"{above}{name}.")
            continue
        yield f"{above}{name}", ... if field.is_required() else field.get_default(call_default_factory=True)
        if not above and name in PER_NAME:
            yield from keys(PER_NAME[name], f"{name}.NAME.")


KEYS = dict(keys(StackSettings))


def test_the_page_has_exactly_the_keys_there_are() -> None:
    """In the order of the schema or another."""
    assert set(ROWS) == set(KEYS)


def words(default: object) -> set[str]:
    """How a default may stand on the page, without its quotes."""
    if default is ...:
        return {"required"}
    if default in (None, (), {}):
        return {"none", "all that have the type", "list price"}
    if isinstance(default, bool):
        return {str(default).lower()}
    if isinstance(default, frozenset | tuple):
        return {", ".join(sorted(map(str, default)))}
    return {"{kind: on-demand}"} if isinstance(default, BaseModel) else {str(default)}


@pytest.mark.parametrize("key", KEYS)
def test_the_page_tells_the_default(key: str) -> None:
    """Lists in any order."""
    shown = ROWS[key].replace("`", "")
    in_order = ", ".join(sorted(shown.split(", ")))
    assert {shown, in_order} & words(KEYS[key])
