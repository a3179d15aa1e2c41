"""The stacks that ship are what they say they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.settings import StackSettings, from_config, load_stack

STACKS = sorted((Path(__file__).parents[2] / "infra").glob("Pulumi.*.yaml"))


@pytest.mark.parametrize("file", STACKS, ids=lambda file: file.name)
def test_every_stack_that_ships_can_be_loaded(file: Path) -> None:
    """Its settings hold the name of the stack."""
    settings = load_stack(file)
    assert settings.name == "spillway-" + file.name.split(".")[1]


def test_settings_are_the_same_out_of_pulumis_own_configuration() -> None:
    """Objects come as JSON there, and other namespaces beside ours."""
    config = {
        "aws:region": "us-east-1",
        "spillway:name": "spillway-x",
        "spillway:region": "us-east-1",
        "spillway:budget_usd_per_month": "2000",
        "spillway:gpu_pools": '{"a10g": {"instance_type": "g5.2xlarge"}}',
    }
    assert from_config(config) == StackSettings.model_validate(
        {
            "name": "spillway-x",
            "region": "us-east-1",
            "budget_usd_per_month": 2000,
            "gpu_pools": {"a10g": {"instance_type": "g5.2xlarge"}},
        }
    )
