"""Reads as much of a wrong spillway.yaml as makes sense, so that all its problems can be told at once."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from controller.catalogue.document import Document, Place, key_words
from controller.catalogue.refusals import from_validation
from controller.config.schema import Config
from controller.core.errors import Problem

_BY_ENTRY = frozenset(
    {"models", "providers", "pools", "fallbacks", "tenants", "node_pools"}
)  # one wrong entry leaves the others


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvaged:
    """What could be read. `pool_places`: where each pool of `config` stands in the file."""

    config: Config
    pool_places: tuple[Place, ...]
    dropped: frozenset[Place]
    problems: tuple[Problem, ...]

    def blames(self, problem: Problem) -> bool:
        """Whether the problem may be one only because a part was dropped."""
        if not self.dropped:
            return False
        values = set((problem.value or "").split(", "))
        names = {str(place[-1]) for place in self.dropped if len(place) > 1}
        keys = [key_words(place) for place in self.dropped]
        below = tuple(f"{key}{sign}" for key in keys for sign in ".[")
        return (
            problem.severity != "error" or bool(values & names) or problem.key in keys or problem.key.startswith(below)
        )


def salvage(document: Document) -> Salvaged:
    """The configuration without its wrong parts, and one problem for each thing wrong."""
    content = document.content
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        problems = from_validation(error, Config, document)
        dropped = frozenset(_part(detail["loc"], content) for detail in error.errors(include_url=False))
    else:
        return Salvaged(config=config, pool_places=_pool_places(content), dropped=frozenset(), problems=())
    return Salvaged(
        config=Config.model_validate(_without(content, dropped)),
        pool_places=tuple(place for place in _pool_places(content) if place not in dropped),
        dropped=dropped,
        problems=problems,
    )


def _part(loc: Place, content: dict[str, object]) -> Place:
    """The part that goes with a wrong value: an entry or a whole section."""
    whole = len(loc) < 2 or loc[0] not in _BY_ENTRY or not isinstance(content[str(loc[0])], dict | list)
    return loc[:1] if whole else loc[:2]


def _without(content: dict[str, object], dropped: frozenset[Place]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name, section in content.items():
        if (name,) in dropped:
            continue
        if name in _BY_ENTRY and isinstance(section, list):
            section = [item for index, item in enumerate(section) if (name, index) not in dropped]  # noqa: PLW2901
        elif name in _BY_ENTRY and isinstance(section, dict):
            section = {key: item for key, item in section.items() if (name, key) not in dropped}  # noqa: PLW2901
        kept[name] = section
    return kept


def _pool_places(content: dict[str, object]) -> tuple[Place, ...]:
    pools = content.get("pools")
    return tuple(("pools", index) for index in range(len(pools))) if isinstance(pools, list) else ()
