"""What an operator does after an engine died in the middle: unlock, tell it what was made, go on."""

from __future__ import annotations

import json
import shutil

from tests.infra.engine.engine import Engine


def recover(engine: Engine) -> None:
    """The state holds all that exists: creations whose end the engine did not see are taken over, or else forgotten.

    `refresh --import-pending-creates` of this engine marks them and takes over nothing, so the state is edited as the
    engine itself advises: exported, a pending creation that had its effect becomes a resource, imported, refreshed.
    """
    engine.run("cancel", "--yes", "--stack", engine.stack, expect=None)  # the lock of the dead one
    _mend(engine)
    state = engine.export()
    deployment = state["deployment"]
    for operation in deployment.pop("pending_operations", None) or []:
        resource = operation["resource"]
        identity = _found(engine, resource["urn"])
        if operation["type"] == "creating" and identity is not None:
            deployment["resources"].append({**resource, "id": identity})
    file = engine.folder / "recovered.json"
    file.write_text(json.dumps(state), encoding="utf-8")
    engine.run("stack", "import", "--file", str(file))
    engine.refresh()


def _mend(engine: Engine) -> None:
    """The state can be read: one that was being written is taken from its copy, which has all that was asked for."""
    for file in (engine.folder / "state/.pulumi/stacks").rglob(f"{engine.stack}.json"):
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            shutil.copy(file.with_suffix(".json.bak"), file)


def _found(engine: Engine, urn: str) -> str | None:
    """The identity of what was made for the resource, as an operator finds it by its tags; None where nothing was."""
    token, name = urn.split("::")[2].rsplit("$", maxsplit=1)[-1], urn.split("::", 3)[3]
    for cloud, place in ((engine.aws, token.partition(":")[2]), (engine.kubernetes, token)):
        for thing in cloud.things:
            if (thing.token, thing.name) == (place, name):
                return thing.identity
    return None
