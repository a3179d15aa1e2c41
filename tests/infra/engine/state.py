"""The state of a stack beside what the providers have and what they checked."""

from __future__ import annotations

from typing import Any

from tests.infra.doubles.store import Thing
from tests.infra.engine.engine import Engine, EngineFailed


def compare(engine: Engine) -> tuple[set[str], set[str]]:
    """What only the state knows, and what only the providers have: both empty where nothing is lost."""
    custom = [one for one in engine.export()["deployment"].get("resources") or [] if _is_made(one)]
    known = [f"{one['type']} {one['id']}" for one in custom]
    things = [*map(_aws, engine.aws.things), *(f"{thing.token} {thing.identity}" for thing in engine.kubernetes.things)]
    if len(set(known)) != len(known):
        raise EngineFailed(f"the state names an object twice: {sorted(known)}")
    return set(known) - set(things), set(things) - set(known)


def _aws(thing: Thing) -> str:
    return f"aws:{thing.token} {thing.identity}"


def _is_made(resource: dict[str, Any]) -> bool:
    return bool(resource["custom"]) and not resource["type"].startswith("pulumi:")


def checked_inputs(engine: Engine) -> tuple[set[str], set[str]]:
    """Inputs of all resources of the state, and those of them that the doubles held against the schema."""
    seen = {
        f"{token}.{path}"
        for cloud in (engine.aws, engine.kubernetes)
        for token, paths in cloud.checked.items()
        for path in paths
    }
    state = engine.export()["deployment"]["resources"]
    custom = [one for one in state if one["custom"] and not one["type"].startswith("pulumi:")]
    return {f"{one['type']}.{key}" for one in custom for key in one["inputs"] if not key.startswith("__")}, seen
