"""What the page of infra/ shows is what the commands say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import yaml
from stacks import TODAY

from infra.plan import table
from infra.settings import from_config, load_plan, load_stack

INFRA = Path(__file__).parents[2] / "infra"
PAGE = (INFRA / "README.md").read_text(encoding="utf-8")


def test_the_table_of_the_page_is_the_plan_of_prod() -> None:
    """Line by line."""
    _, whole = load_plan(INFRA / "Pulumi.prod.yaml", today=TODAY)
    assert f"```\n{table(whole)}```" in PAGE


def test_the_sums_of_the_page_are_those_of_the_plan() -> None:
    """GPU nodes, and everything beside them."""
    _, whole = load_plan(INFRA / "Pulumi.prod.yaml", today=TODAY)
    pools = [f"{row.usd_per_month:,.2f}" for row in whole.pools]
    others = whole.total_usd_per_month - sum(row.usd_per_month or 0 for row in whole.pools)
    shown = re.findall(r"^\| [^|]*(?:p4d|g5|everything)[^|]* \| ([\d,.]+) \|", PAGE, re.MULTILINE)
    assert shown == [pools[1], pools[0], f"{others:,.2f}"]


def test_the_pools_and_models_of_the_page_are_those_of_prod() -> None:
    """The example is a part of the file."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    example = yaml.safe_load(blocks[0])["config"]
    prod = load_stack(INFRA / "Pulumi.prod.yaml", today=TODAY)
    config = yaml.safe_load((INFRA / "Pulumi.prod.yaml").read_text(encoding="utf-8"))["config"]
    for section, entries in example.items():
        config[section].update(entries)
    assert from_config(config, today=TODAY) == prod


def calls() -> set[str]:
    """What infra/aws asks of clients but for the bucket of weights: methods, and those that it pages through."""
    found: set[str] = set()
    for file in sorted({*(INFRA / "aws").glob("*.py")} - {INFRA / "aws" / "s3.py"}):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            name = node.func.attr
            if name == "get_paginator" and isinstance(node.args[0], ast.Constant):
                found.add(str(node.args[0].value))
            elif "_" in name and isinstance(node.func.value, ast.Name) and name != "get_paginator":
                found.add(name)
    return found


def test_every_call_only_reads_and_its_right_is_on_the_page() -> None:
    """Nothing that would change an account is ever asked of it, but that weights be put into the bucket for them."""
    asked = {
        found
        for file in (INFRA / "aws").glob("*.py")
        for found in re.findall(r'asked\("([a-z0-9]+:\w+)"\)', file.read_text(encoding="utf-8"))
    }
    assert asked == set(re.findall(r"`([a-z0-9]+:(?:Get|Describe|List|Put)\w+)`", PAGE))
    of_weights = {right for right in asked if right.startswith("s3:")}
    assert of_weights == {"s3:ListBucket", "s3:GetObject", "s3:PutObject"}
    assert {call for call in calls() if not call.startswith(("describe_", "get_"))} == set()
    assert {call.replace("_", "") for call in calls()} == {
        right.partition(":")[2].lower() for right in asked - of_weights
    }
