"""What an operator does after an engine died in the middle: unlock, tell it what was made, go on."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.infra.engine.engine import Engine


def recover(engine: Engine) -> None:
    """The state holds all that exists: creations whose end the engine did not see are taken over, or else forgotten.

    By `python -m infra.pending`, as the page of infra/ says.
    """
    _mend(engine)
    engine.run("cancel", "--yes", "--stack", engine.stack, expect=None)  # the lock of the dead one
    state = engine.export()
    pending = state["deployment"].get("pending_operations") or []
    answers = {
        operation["resource"]["urn"]: _found(engine, operation["resource"]["urn"]) or ""
        for operation in pending
        if operation["type"] == "creating"
    }
    file = engine.folder / "recovered.json"
    words = [f"{urn}={identity}" for urn, identity in answers.items()]
    command = [sys.executable, "-m", "infra.pending", *words]
    done = subprocess.run(command, input=json.dumps(state), capture_output=True, text=True, timeout=60, check=True)
    file.write_text(done.stdout, encoding="utf-8")
    engine.run("stack", "import", "--file", str(file))
    engine.refresh()


def _mend(engine: Engine) -> None:
    """The state can be read: it is written whole or not at all, but not so the file of attributes beside it."""
    for file in (engine.folder / "state").rglob("*.attrs"):
        if file.stat().st_size == 0:
            file.unlink()


def _found(engine: Engine, urn: str) -> str | None:
    """The identity of what was made for the resource, as an operator finds it by its tags; None where nothing was."""
    token, name = urn.split("::")[2].rsplit("$", maxsplit=1)[-1], urn.split("::", 3)[3]
    for cloud, place in ((engine.aws, token.partition(":")[2]), (engine.kubernetes, token)):
        for thing in cloud.things:
            if (thing.token, thing.name) == (place, name):
                return thing.identity
    return None
