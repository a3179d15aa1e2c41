"""Does the ledger agree with a provider's own account? Usage by day and model, compared figure by figure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

FIGURES = ("requests", "input_tokens", "cached_input_tokens", "output_tokens", "cost_nanousd")
_SNAPSHOT = re.compile(r"-20\d{2}-?\d{2}-?\d{2}(?=$|:)")


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageLine:
    """Usage of one UTC day; `model` None: of all models together. A figure is None where the source does not say it.

    `rounding_nanousd`: by how much the source may have rounded its cost. `estimated`: requests whose usage is a guess.
    """

    day: str
    model: str | None
    requests: int | None = None
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    output_tokens: int | None = None
    cost_nanousd: int | None = None
    rounding_nanousd: int = 0
    estimated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One figure of one day and model on both sides. `is_drift`: further apart than tolerance and rounding allow."""

    day: str
    model: str | None
    figure: str
    ours: int
    theirs: int
    is_drift: bool
    estimated: int


def model_family(name: str) -> str:
    """One spelling for one model: `gpt-4o-mini-2024-07-18`, `Claude Haiku 4.5` and ids without a date meet here."""
    spelled = name.strip().lower().replace(" ", "-").replace(".", "-")
    return _SNAPSHOT.sub("", spelled)


def merged(lines: Iterable[UsageLine], *, by_model: bool) -> dict[tuple[str, str | None], UsageLine]:
    """Lines of one day and model family (or of one day) added up; a figure that any of them says is known."""
    sums: dict[tuple[str, str | None], UsageLine] = {}
    for line in lines:
        model = model_family(line.model) if by_model and line.model is not None else None
        held = sums.get((line.day, model))
        sums[line.day, model] = replace(line, model=model) if held is None else _added(held, line)
    return sums


def _added(one: UsageLine, other: UsageLine) -> UsageLine:
    return replace(
        one,
        requests=_plus(one.requests, other.requests),
        input_tokens=_plus(one.input_tokens, other.input_tokens),
        cached_input_tokens=_plus(one.cached_input_tokens, other.cached_input_tokens),
        output_tokens=_plus(one.output_tokens, other.output_tokens),
        cost_nanousd=_plus(one.cost_nanousd, other.cost_nanousd),
        rounding_nanousd=one.rounding_nanousd + other.rounding_nanousd,
        estimated=one.estimated + other.estimated,
    )


def _plus(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other


def known_figures(lines: Sequence[UsageLine]) -> tuple[str, ...]:
    """The figures that a source says at all, in the order of `FIGURES`."""
    return tuple(figure for figure in FIGURES if any(getattr(line, figure) is not None for line in lines))


def compare(
    ours: Sequence[UsageLine], theirs: Sequence[UsageLine], *, tolerance_ratio: float
) -> tuple[Difference, ...]:
    """Every figure that the provider says, by day and model; by day alone where it does not tell models apart.

    A day or model that one side lacks counts as zero there: nothing bought unseen, nothing billed unbought.
    """
    tokens = [line for line in theirs if line.cost_nanousd is None]
    costs = [line for line in theirs if line.cost_nanousd is not None]
    found: list[Difference] = []
    for lines in (tokens, costs):  # an account of costs may tell less apart than one of tokens
        by_model = all(line.model is not None for line in lines)
        mine, yours = merged(ours, by_model=by_model), merged(lines, by_model=by_model)
        for figure in known_figures(lines):
            found.extend(
                _difference(key, figure, mine.get(key), yours.get(key), tolerance_ratio)
                for key in sorted({*mine, *yours}, key=lambda key: (key[0], key[1] or ""))
            )
    return tuple(found)


def _difference(
    key: tuple[str, str | None], figure: str, ours: UsageLine | None, theirs: UsageLine | None, tolerance_ratio: float
) -> Difference:
    one = _figure(ours, figure)
    other = _figure(theirs, figure)
    slack = max(one, other) * tolerance_ratio
    if figure == "cost_nanousd" and theirs is not None:
        slack += theirs.rounding_nanousd
    return Difference(
        day=key[0],
        model=key[1],
        figure=figure,
        ours=one,
        theirs=other,
        is_drift=abs(one - other) > slack,
        estimated=0 if ours is None else ours.estimated,
    )


def _figure(line: UsageLine | None, figure: str) -> int:
    value = None if line is None else getattr(line, figure)
    return 0 if value is None else int(value)
