"""The state after an update whose engine died: what was being made is taken over or forgotten, by the word of a person.

An engine that is killed leaves creations in its state without knowing whether anything came of them. Forgotten unseen,
what was made stays in the account and is made once more. `pulumi refresh --import-pending-creates` is meant for
this, but up to 3.259 takes nothing over. So: `pulumi stack export | python -m infra.pending URN=ID ... > state.json`,
then `pulumi stack import --file state.json` and `pulumi refresh`. An empty ID says that nothing was made. Without
answers it lists what to look for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
State: TypeAlias = dict[str, Json]


class Unanswered(Exception):
    """Of these creations nobody has said yet what came of them; each with its type, its name and its tags."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))


def settled(state: Mapping[str, Json], answers: Mapping[str, str]) -> State:
    """The same state without anything in the air: what has an identity is a resource, what has none is forgotten.

    Updates and deletions that were in the air are dropped: `pulumi refresh` reads how those ended.
    """
    deployment = dict(_mapping(state["deployment"]))
    operations = [_mapping(one) for one in _items(deployment.pop("pending_operations", None))]
    created = [_mapping(one["resource"]) for one in operations if one.get("type") == "creating"]
    missing = [_described(one) for one in created if str(one["urn"]) not in answers]
    if missing:
        raise Unanswered(missing)
    taken: list[Json] = [{**one, "id": answers[str(one["urn"])]} for one in created if answers[str(one["urn"])]]
    return {**state, "deployment": {**deployment, "resources": [*_items(deployment.get("resources")), *taken]}}


def _described(resource: Mapping[str, Json]) -> str:
    inputs = _mapping(resource.get("inputs") or {})
    seen = {key: inputs[key] for key in ("name", "tags") if inputs.get(key)}
    return f"{resource['urn']}  {json.dumps(seen, sort_keys=True)}"


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _items(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def main(words: Sequence[str]) -> int:
    """0 with the settled state on standard output; 1 with what is unanswered on standard error."""
    answers = {urn: identity for urn, _, identity in (word.partition("=") for word in words)}
    try:
        state = settled(json.load(sys.stdin), answers)
    except Unanswered as unanswered:
        sys.stderr.write(f"look these up and say URN=ID for each, or URN= where nothing was made:\n{unanswered}\n")
        return 1
    json.dump(state, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
