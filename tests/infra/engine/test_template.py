"""`pulumi new` from a checkout: a folder of one's own, whose defaults preview at once."""

from __future__ import annotations

import shutil

from tests.infra.engine.conftest import Start
from tests.infra.engine.engine import ROOT, Engine

INFRA = ROOT / "infra"


def copied(engine: Engine, name: str) -> None:
    """Afterwards the engine's project is what `pulumi new` makes of infra/, with a stack `dev`."""
    shutil.rmtree(engine.project)
    engine.project.mkdir()
    engine.run("new", str(INFRA), "--name", name, "--description", "Mine.", "--generate-only", "--yes")
    engine.run("stack", "init", engine.stack)


def test_a_copy_previews_at_once_and_is_what_runs(start: Start) -> None:
    """Under a name of one's own; what is changed in the copy is what Pulumi runs, not the checkout."""
    engine = start(INFRA, "dev")
    copied(engine, "my-llm")
    assert "name: my-llm" in (engine.project / "Pulumi.yaml").read_text(encoding="utf-8")
    table = engine.project / "plan" / "table.py"
    table.write_text(table.read_text(encoding="utf-8").replace("list prices in USD", "as we see it"), encoding="utf-8")
    previewed = engine.preview()
    assert "spillway-dev in us-east-1, 730 hours a month, as we see it" in previewed.said
    assert previewed.count("create") > 100
    assert engine.aws.things == []


def test_a_stack_that_cannot_be_is_refused_before_anything_is_asked(start: Start) -> None:
    """Every problem at once, in preview, with nothing registered."""
    engine = start(INFRA, "dev")
    for key, value in (("region", "us-est-1"), ("budget_usd_per_month", "10")):
        engine.run("config", "set", f"spillway:{key}", value)
    engine.run("config", "set", "--path", "spillway:models.llama-8b.tensor_parallel", "3")
    refused = engine.preview(expect=None)
    assert refused.code != 0
    assert "spillway:region: no such region; did you mean us-east-1? (got us-est-1)" in refused.said
    assert "spillway:models.llama-8b.tensor_parallel: g5.2xlarge has 1 GPUs (got 3)" in refused.said
    assert refused.count("create") <= 1  # the stack itself
