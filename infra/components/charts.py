"""Releases of charts: those of others by the pins of charts.yaml, our own from the folder beside this program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

import pulumi
import yaml
from pulumi_kubernetes.helm.v3 import Release, ReleaseArgs, RepositoryOptsArgs

PINS = Path(__file__).with_name("charts.yaml")

# Values of a chart: what JSON can say, with outputs in any place.
Values = Mapping[str, object]


class Pin(TypedDict):
    """One line of charts.yaml."""

    repository: str
    version: str
    sha256: str | None


@cache
def pins() -> dict[str, Pin]:
    """The pinned charts by name."""
    return cast("dict[str, Pin]", yaml.safe_load(PINS.read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartArgs:
    """`chart`: a name of charts.yaml, or a folder. `wait_s`: how long its pods may take to be ready."""

    chart: str
    release: str
    namespace: pulumi.Input[str]
    values: Values
    wait_s: int = 600
    skip_await: bool = False


def release(
    name: str,
    args: ChartArgs,
    *,
    parent: pulumi.Resource,
    provider: pulumi.ProviderResource,
    depends_on: Sequence[pulumi.Resource] = (),
) -> Release:
    """A Helm release that is rolled back when it does not become ready."""
    pin = pins().get(args.chart)
    oci = pin is not None and pin["repository"].startswith("oci://")
    return Release(
        name,
        ReleaseArgs(
            name=args.release,
            namespace=args.namespace,
            chart=f"{pin['repository']}/{args.chart}" if pin is not None and oci else args.chart,
            version=None if pin is None else pin["version"],
            repository_opts=None if pin is None or oci else RepositoryOptsArgs(repo=pin["repository"]),
            values=args.values,
            atomic=True,
            timeout=args.wait_s,
            skip_await=args.skip_await,
        ),
        opts=pulumi.ResourceOptions(
            parent=parent,
            provider=provider,
            depends_on=list(depends_on),
            custom_timeouts=pulumi.CustomTimeouts(create=f"{args.wait_s + 60}s", update=f"{args.wait_s + 60}s"),
        ),
    )
