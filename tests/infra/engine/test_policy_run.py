"""The policy pack under the real engine: what it refuses is not built, in the rule's own words."""

from __future__ import annotations

import json
import shlex
import sys

import pytest

from tests.infra.engine.conftest import Start
from tests.infra.engine.engine import ROOT, Engine, Ran

INFRA = ROOT / "infra"
PACK = INFRA / "policy"
TRIAL = json.loads((PACK / "trial.json").read_text(encoding="utf-8"))
NO_GPUS = {**TRIAL, "within-ceilings": {**TRIAL["within-ceilings"], "max_gpus": 0}}
UNPROTECTED = "holds what cannot be made again; `protect` must be set"


def _judged(engine: Engine, config: dict[str, object]) -> Ran:
    """A preview under the pack with that configuration."""
    starter, said = engine.folder / "spillway-policy", engine.folder / "policy.json"
    python, pack = shlex.quote(sys.executable), shlex.quote(str(PACK))
    starter.write_text(f'#!/bin/sh\nexec {python} -u -m pulumi.policy "$1" {pack}\n', encoding="utf-8")
    starter.chmod(0o755)
    said.write_text(json.dumps(config), encoding="utf-8")
    return engine.preview("--policy-pack", str(starter), "--policy-pack-config", str(said), expect=None)


@pytest.mark.parametrize(("stack", "config"), [("prod", {}), ("dev", TRIAL)], ids=["prod", "dev for trial"])
def test_a_good_stack_passes(start: Start, stack: str, config: dict[str, object]) -> None:
    """Every policy was asked and none refuses."""
    ran = _judged(start(INFRA, stack), config)
    assert ran.code == 0, ran.said
    assert "spillway@" in ran.said.partition("Policies:")[2]
    assert "[mandatory]" not in ran.said


@pytest.mark.parametrize(
    ("config", "policy", "words"),
    [({}, "protected", UNPROTECTED), (NO_GPUS, "within-ceilings", "max_gpus allows 0")],
    ids=["not protected", "too many GPUs"],
)
def test_a_bad_stack_is_refused(start: Start, config: dict[str, object], policy: str, words: str) -> None:
    """In the words of the rule; nothing is made."""
    engine = start(INFRA, "dev")
    ran = _judged(engine, config)
    assert ran.code != 0
    assert f"[mandatory]  {policy}" in ran.said
    assert words in ran.said
    assert engine.aws.things == []
