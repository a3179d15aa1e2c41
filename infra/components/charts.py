"""Releases of charts: those of others by the pins of charts.yaml, our own from the folder beside this program."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import pulumi
import yaml
from pulumi_kubernetes.helm.v3 import Release, ReleaseArgs, RepositoryOptsArgs

from controller import catalogue

BESIDE = Path(__file__).parents[2] / "helm"
OF_THE_PRODUCT = Path(catalogue.__file__).parents[2] / "helm"
PINS = Path(__file__).with_name("charts.yaml")

# Values of a chart: what JSON can say, with outputs in any place.
Values = Mapping[str, object]


class Pin(TypedDict):
    """One chart of charts.yaml. `sha256`: of the packed chart; without one `no_sha256` says why."""

    repository: str
    version: str
    sha256: str | None
    no_sha256: NotRequired[str]


@cache
def pins() -> dict[str, Pin]:
    """The pinned charts by name."""
    return cast("dict[str, Pin]", yaml.safe_load(PINS.read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartArgs:
    """`chart`: a name of charts.yaml, or the folder of one. `wait_s`: how long its pods may take to be ready."""

    chart: str | Path
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
    chart, version, repository = _source(args.chart)
    return Release(
        name,
        ReleaseArgs(
            name=args.release,
            namespace=args.namespace,
            chart=chart,
            version=version,
            repository_opts=None if repository is None else RepositoryOptsArgs(repo=repository),
            values=args.values,
            atomic=not args.skip_await,  # a rollback needs a verdict
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


def _source(chart: str | Path) -> tuple[str, str, str | None]:
    """Chart, version and repository as Helm wants them; a folder relative to the program, the same on every machine."""
    if isinstance(chart, Path):
        described = cast("dict[str, str]", yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8")))
        return os.path.relpath(chart), described["version"], None
    pin = pins()[chart]
    if pin["repository"].startswith("oci://"):
        return f"{pin['repository']}/{chart}", pin["version"], None
    return chart, pin["version"], pin["repository"]


def own_charts() -> Path:
    """The folder with ops and serving: beside this program, or in the checkout that a copy of it is installed from."""
    found = next((folder for folder in (BESIDE, OF_THE_PRODUCT) if folder.is_dir()), None)
    if found is None:
        raise pulumi.RunError(
            f"our charts are neither in {BESIDE} nor in {OF_THE_PRODUCT}: install a checkout, editable"
        )
    return found
