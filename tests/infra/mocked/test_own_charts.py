"""Where the program finds our own charts: also in a copy that `pulumi new` has put elsewhere."""

from __future__ import annotations

from pathlib import Path

import pulumi
import pytest

from infra.components import charts

HELM = Path(__file__).parents[3] / "helm"


def test_a_checkout_has_them_beside_its_program() -> None:
    """In helm/."""
    assert charts.own_charts() == HELM


def test_a_copy_takes_those_of_the_checkout_it_is_installed_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The product is installed editable; where there are none at all, it is said where they were looked for."""
    monkeypatch.setattr(charts, "BESIDE", tmp_path / "helm")
    assert charts.own_charts() == HELM
    monkeypatch.setattr(charts, "OF_THE_PRODUCT", tmp_path / "product")
    with pytest.raises(pulumi.RunError, match=r"neither in .*/helm nor in .*/product: install a checkout, editable"):
        charts.own_charts()
