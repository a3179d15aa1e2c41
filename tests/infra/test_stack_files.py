"""The stacks that ship are what they say they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from stacks import TODAY

from infra.regions import on_demand_usd_per_hour, region_names
from infra.settings import StackSettings, from_config, load_plan, load_stack

INFRA = Path(__file__).parents[2] / "infra"
STACKS = sorted(INFRA.glob("Pulumi.*.yaml"))


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


@pytest.mark.parametrize("region", [key for key in region_names() if on_demand_usd_per_hour(key, "p4d.24xlarge")])
def test_prod_moves_by_its_region_alone(region: str, tmp_path: Path) -> None:
    """Wherever the price of its GPUs is known it can be built, at what it costs there."""
    config = yaml.safe_load((INFRA / "Pulumi.prod.yaml").read_text(encoding="utf-8"))
    config["config"] |= {"spillway:region": region, "spillway:budget_usd_per_month": 40000}
    file = tmp_path / "Pulumi.moved.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    settings, whole = load_plan(file, today=TODAY)
    assert settings.region == region
    prices = {row.pool: row.usd_per_hour for row in whole.pools}
    assert prices["a100"] == on_demand_usd_per_hour(region, "p4d.24xlarge")
