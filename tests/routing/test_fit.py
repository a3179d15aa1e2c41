"""What is learned of a replica and of a pool's answers."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.routing.fit import FADE_HALF_S, FRESH_S, LENGTHS_SEEN, AnswerLengths, Correction, EngineFit


def after(*ratios: float, weight: float = 2.0) -> Correction:
    """Having seen so many times of what was said."""
    correction = Correction(weight)
    for second, ratio in enumerate(ratios):
        correction.observe(0.1, 0.1 * ratio, float(second))
    return correction


def test_it_comes_to_what_is_seen() -> None:
    """A table counts as two values; with none, the first value is believed at once."""
    assert after(*[2.0] * 20).factor == pytest.approx(2.0, rel=0.1)
    assert after(3.0, weight=0.0).factor == pytest.approx(3.0)


def test_one_wild_value_moves_it_little_and_a_change_is_followed() -> None:
    """A pause of 10 s changes the factor by a few percent; a replica 10 times slower is found within six values."""
    settled = after(*[1.0] * 30, 100.0)
    assert settled.factor == pytest.approx(1.0, abs=0.02)
    assert after(*[1.0] * 30, *[10.0] * 6).factor > 4.0
    assert after(*[1.0] * 30, *[10.0] * 12, *[1.0] * 12).factor < 1.5
    assert after(*[1.0] * 30, 10.0, 0.1, 10.0, 0.1, 10.0, 0.1).factor == pytest.approx(1.0, abs=0.05)


def test_values_that_say_nothing() -> None:
    """Neither a prediction nor a time of zero teaches anything."""
    correction = Correction()
    correction.observe(0.0, 1.0, 0.0)
    correction.observe(1.0, 0.0, 0.0)
    assert (correction.factor, correction.seen_lately) == (1.0, 0.0)


def test_without_news_it_fades() -> None:
    """A replica that is asked no more gets another chance; one that is seen keeps its factor."""
    correction = after(*[8.0] * 20)
    correction.fade(1.0, 20.0)
    assert correction.factor > 7.0
    correction.fade(FADE_HALF_S, 19.0 + FRESH_S + 1.0)
    assert correction.factor == pytest.approx(8.0**0.5, rel=0.1)
    correction.fade(1e9, 1e9)
    assert correction.factor == 1.0
    assert correction.seen_lately == 0.0
    correction.fade(1.0, 2e9)
    assert correction.factor == 1.0


def test_in_doubt_the_next_value_counts_in_full() -> None:
    """However much was seen before: of first tokens, of writing and of waits."""
    fit = EngineFit()
    for second in range(40):
        fit.saw_ttft(0.0, 0.1, 1.0, float(second))
    fit.doubt()
    assert fit.prefill.factor == pytest.approx(10.0, rel=0.1)
    fit.saw_ttft(0.0, 0.1, 0.1, 50.0)
    assert fit.prefill.factor == pytest.approx(1.0)
    fit.decode.observe(0.1, 0.3, 50.0)
    assert fit.decode.factor == pytest.approx(3.0)


@given(st.lists(st.tuples(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9)), max_size=40))
def test_it_stays_within_bounds(values: list[tuple[float, float]]) -> None:
    """Whatever is seen, the factor is between 1/64 and 64."""
    correction = Correction()
    for said_s, seen_s in values:
        correction.observe(said_s, seen_s, 0.0)
    assert 1 / 64.001 <= correction.factor <= 64.001


def test_the_larger_part_answers_for_the_error() -> None:
    """A long wait that was longer, a prompt that took longer, an answer that was written more slowly."""
    waited = EngineFit(measured=False)
    for _ in range(30):
        waited.saw_ttft(2.0, 0.1, 4.1, 0.0)
    assert waited.wait.factor == pytest.approx(2.0, rel=0.1)
    assert waited.prefill.factor == 1.0
    computed = EngineFit(measured=False)
    computed.saw_ttft(0.0, 0.1, 0.3, 0.0)
    assert computed.prefill.factor == pytest.approx(3.0)
    assert computed.ttft_s(0.0, 0.1) == pytest.approx(0.3)
    written = EngineFit(measured=False)
    written.saw_whole(0.0, 0.1, 1.0, 2.1, 0.0)
    assert written.decode.factor == pytest.approx(2.0)
    short = EngineFit(measured=False)
    short.saw_whole(0.0, 1.0, 0.1, 2.1, 0.0)
    assert short.prefill.factor == pytest.approx(2.0)
    short.fade(1e6, 1e6)
    assert short.prefill.factor == pytest.approx(1.0)


def test_how_long_answers_are() -> None:
    """What remains of one under way is half of its length when all are alike, more when they vary."""
    lengths = AnswerLengths()
    assert lengths.remaining_tokens == 128.0
    assert lengths.long_tokens == inf
    for _ in range(2000):
        lengths.saw(100)
    assert lengths.remaining_tokens == pytest.approx(50.0, rel=0.01)
    assert lengths.long_tokens == pytest.approx(100.0, rel=0.05)
    assert lengths.prompt_ratio == 0.0
    for _ in range(2000):
        lengths.saw(100, 300)
    assert lengths.prompt_ratio == pytest.approx(3.0, rel=0.01)
    varied = AnswerLengths()
    for number in range(2000):
        varied.saw(10 if number % 10 else 1000)
    assert 300 < varied.remaining_tokens < 500
    assert varied.long_tokens > 1000
    ended = AnswerLengths()
    for _ in range(int(LENGTHS_SEEN) + 200):
        ended.saw(0)
    assert ended.remaining_tokens >= 1.0
