"""Who is judged with every seed on weeks: nobody is left out who could still win."""

from __future__ import annotations

import pytest
from contest_world import point, score

from controller.replay.contest_race import raced
from controller.replay.contest_types import Tried

# policy, form, what it cost while tuning, what it attained
OURS = ("ours", "mode", 1.05, 1.0)
CHEAPEST = ("mark", "valve", 1.00, 1.0)


@pytest.mark.parametrize(
    ("others", "kept", "dropped"),
    [
        ((CHEAPEST, ("b", "valve", 1.099, 1.0)), ["ours", "mark", "b"], {}),
        ((CHEAPEST, ("b", "valve", 1.101, 1.0)), ["ours", "mark"], {"b": "cost 1.101, more than 1.100"}),
        ((CHEAPEST, ("b", "valve", 0.90, 0.98)), ["ours", "mark"], {"b": "98.00 % within the SLO"}),
        ((CHEAPEST, ("b", "none", 1.50, 1.0), ("c", "naive", 1.40, 1.0)), ["ours", "mark", "c"],
         {"b": "cost 1.500, more than 1.100"}),
        ((CHEAPEST, ("b", "none", 0.50, 0.9), ("c", "naive", 1.40, 0.8)), ["ours", "mark", "b"],
         {"c": "80.00 % within the SLO"}),
        ((CHEAPEST, ("static-best", "valve", 1.7, 1.0), ("static-peak", "none", 1.9, 1.0)),
         ["ours", "mark", "static-best"], {"static-peak": "cost 1.900, more than 1.100"}),
        ((CHEAPEST, ("all-external", "none", 1.7, 1.0)), ["ours", "mark", "all-external"], {}),
        ((("mark", "valve", 2.0, 1.0),), ["ours", "mark"], {}),
        ((), ["ours"], {}),
    ],
    ids=["within a tenth", "beyond it", "attains too little, however cheap", "the cheapest plain form stays",
         "of plain forms that attain too little the best stays", "the best constant in hindsight stays",
         "buying everything stays",
         "the only rival stays", "alone"],
)  # fmt: skip
def test_who_goes_on(
    others: tuple[tuple[str, str, float, float], ...], kept: list[str], dropped: dict[str, str]
) -> None:
    """Ours, the best other of each kind, and whoever attains enough for little more than the cheapest who does."""
    best = [
        Tried(point=point(name, 1.0, form), score=score(cost, attained))
        for name, form, cost, attained in (OURS, *others)
    ]
    going, gone = raced(best, "ours")
    assert [one.policy for one in going] == kept
    assert {one.point.policy: one.reason for one in gone} == dropped


def test_ours_goes_on_whatever_it_did() -> None:
    """Its loss is to be seen."""
    best = [
        Tried(point=point("ours", 1.0, "mode"), score=score(3.0, 0.5)),
        Tried(point=point("a", 1.0), score=score(1.0)),
    ]
    assert raced(best, "ours") == (tuple(one.point for one in best), ())
