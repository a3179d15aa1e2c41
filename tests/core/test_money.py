"""Money is exact."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.money import Price, Usage, cost_nanousd, nanousd, usd


def price(fresh: str, out: str, cached: str) -> Price:
    """A list price per million tokens."""
    return Price(
        usd_per_mtok_in=Decimal(fresh),
        usd_per_mtok_out=Decimal(out),
        usd_per_mtok_cached_in=Decimal(cached),
        source="test",
        as_of=date(2026, 11, 1),
    )


GPT_4O_MINI = price("0.15", "0.60", "0.075")


@pytest.mark.parametrize(
    ("usage", "nano"),
    [
        (Usage(input_tokens=1_000_000, output_tokens=0), 150_000_000),
        (Usage(input_tokens=0, output_tokens=1_000_000), 600_000_000),
        (Usage(input_tokens=1000, output_tokens=100, cached_input_tokens=400), 90_000 + 30_000 + 60_000),
        (Usage(input_tokens=10, output_tokens=0, cached_input_tokens=99), 750),
        (Usage(input_tokens=0, output_tokens=0), 0),
    ],
    ids=["input", "output", "cached", "more-cached-than-input", "nothing"],
)
def test_a_call_costs_its_tokens_at_list_price(usage: Usage, nano: int) -> None:
    """Fresh input, cached input and output each at their price; cached tokens are part of the input."""
    assert cost_nanousd(GPT_4O_MINI, usage) == nano


THOUSANDTHS = st.integers(0, 100_000).map(lambda milli: str(Decimal(milli) / 1000))


@given(fresh=THOUSANDTHS, out=THOUSANDTHS, cached=THOUSANDTHS, calls=st.lists(st.tuples(*[st.integers(0, 10**6)] * 3)))
def test_costs_add_up_to_the_unit(fresh: str, out: str, cached: str, calls: list[tuple[int, int, int]]) -> None:
    """The sum over calls is the cost of the sum: nothing is lost to rounding."""
    listed = price(fresh, out, cached)
    usages = [
        Usage(input_tokens=new + reused, output_tokens=answer, cached_input_tokens=reused)
        for new, reused, answer in calls
    ]
    whole = Usage(
        input_tokens=sum(usage.input_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        cached_input_tokens=sum(usage.cached_input_tokens for usage in usages),
    )
    assert sum(cost_nanousd(listed, usage) for usage in usages) == cost_nanousd(listed, whole)


@given(st.integers(-(10**18), 10**18))
def test_usd_and_back_is_the_same(amount_nanousd: int) -> None:
    """No unit is lost between the two forms."""
    assert nanousd(usd(amount_nanousd)) == amount_nanousd


def test_half_a_unit_rounds_up() -> None:
    """Half up, as people expect of a bill."""
    assert nanousd(Decimal("0.0000000005")) == 1
    assert nanousd(Decimal("0.00000000049")) == 0
