"""What the controller makes of the gateway's word on its providers: out, limited, back."""

from __future__ import annotations

from math import inf

import pytest
from loop_values import POOL
from loop_world import World

from controller.core.samples import ProviderCounters
from controller.loop.offers import FIRST_BACK_S, LONGEST_BACK_S, Offer, Offers
from controller.telemetry.gateway_metrics import registry_of, render


class Played:
    """One provider, a scrape a second."""

    def __init__(self) -> None:
        self.offer = Offer()
        self.now_s = 0.0
        self.answered = 0.0

    def run(self, seconds: int, *, bad: int = 0, of: int = 1, answers_per_s: float = 0.0) -> list[bool]:
        """So long; in the first `bad` of every `of` seconds no key is good. Second by second: is it out?"""
        found = []
        for second in range(seconds):
            self.now_s += 1.0
            self.answered += answers_per_s
            good = 0 if second % of < bad else 1
            self.offer.hear(ProviderCounters(keys_good=good, answered=self.answered), self.now_s)
            found.append(self.offer.is_out)
        return found


@pytest.mark.parametrize(
    ("bad", "of", "out"),
    [
        pytest.param(0, 1, False, id="well"),
        pytest.param(1, 1, True, id="down"),
        pytest.param(8, 10, True, id="half open now and then"),
        pytest.param(1, 10, False, id="a rest now and then"),
        pytest.param(1, 3, False, id="many short rests"),
    ],
)
def test_what_is_mostly_without_a_good_key_is_out(bad: int, of: int, out: bool) -> None:
    """A single bad scrape is not an outage, and one half-open moment does not end one."""
    assert Played().run(300, bad=bad, of=of)[-1] is out


def test_an_outage_is_found_in_half_a_minute_and_its_end_in_a_good_one() -> None:
    """Out after some twenty seconds, back after a minute of good keys and not before."""
    played = Played()
    assert 15 <= played.run(60, bad=1).index(True) <= 30
    back = played.run(200).index(False)
    assert FIRST_BACK_S - 1.0 <= back <= 2.0 * FIRST_BACK_S


def test_one_that_falls_back_soon_is_believed_later_each_time() -> None:
    """Its keys look good as long as nobody calls it; the proof is asked for ever longer, and forgotten after calm."""
    played, waits = Played(), []
    for _ in range(7):
        played.run(40, bad=1)
        waits.append(played.run(1200).index(False))
    assert waits == sorted(waits)
    assert waits[1] == pytest.approx(2.0 * FIRST_BACK_S, abs=3.0)
    assert waits[-1] == pytest.approx(LONGEST_BACK_S, abs=3.0)
    played.run(4000)
    played.run(40, bad=1)
    assert played.run(1200).index(False) == waits[0]


def test_one_that_limits_takes_what_it_answers() -> None:
    """Keys that rest most of the time because there are too many calls: what was answered is what is to be had."""
    played = Played()
    played.run(120, bad=8, of=10, answers_per_s=3.0)
    assert played.offer.takes_per_s == pytest.approx(3.0)
    played.run(61, bad=1)
    assert played.offer.takes_per_s == 0.0
    played.answered = 0.0  # a gateway that has started anew counts from nothing
    played.run(1, bad=1)
    assert played.offer.takes_per_s == 0.0
    played.run(300)
    assert played.offer.takes_per_s == inf


def test_silence_is_no_news() -> None:
    """A gateway that says nothing for an hour has not watched an outage for an hour."""
    offer = Offer()
    offer.hear(ProviderCounters(keys_good=0), 0.0)
    offer.hear(ProviderCounters(keys_good=0), 3600.0)
    assert not offer.is_out


def test_what_is_not_as_it_should_be_is_said() -> None:
    """By name, with what is still taken; a provider nobody has told of is as configured."""
    offers = Offers()
    for second in range(60):
        offers.hear(
            {
                "down": ProviderCounters(keys_good=0),
                "slow": ProviderCounters(keys_good=0, answered=0.5 * second),
                "well": ProviderCounters(keys_good=1),
            },
            float(second),
        )
    assert offers.out() == {"down": True, "slow": True, "well": False}
    assert offers.takes_per_s("strange") == inf
    assert offers.words(["well", "slow", "down", "strange", "down"]) == (
        "down takes nothing now",
        "slow takes 0.49 requests/s now",
    )


def test_an_outage_is_told_in_the_view_and_the_metrics() -> None:
    """With the reason of the decision it has changed; nothing any more once it is over."""
    world = World(POOL)
    world.open_market()
    views = world.run(20, llama_8b=0.5)
    assert views[-1].terms is not None
    assert "openai" not in views[-1].decision_reason
    world.providers = {"openai": ProviderCounters(keys_good=0)}
    views = world.run(40)
    assert views[-1].decision_reason.endswith("; openai takes nothing now")
    assert views[-1].terms is None
    assert 'spillway_controller_provider_out{provider="openai"} 1.0' in metrics_of(world)
    world.providers = {"openai": ProviderCounters(keys_good=1)}
    views = world.run(120)
    assert views[-1].terms is not None
    assert 'spillway_controller_provider_out{provider="openai"} 0.0' in metrics_of(world)


def metrics_of(world: World) -> str:
    """What a scrape of the controller says."""
    return render(registry_of(world.loop.metrics)).decode()
