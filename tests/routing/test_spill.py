"""The spill state machine."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.fleet import Pin, RoutingMode
from controller.core.pools import SpillPolicy
from controller.core.samples import PoolSample
from controller.routing.spill import SpillDecision, SpillState, overflow_ratio, spill_step

from .builders import sample

LOCAL, SPILLING, EXTERNAL = RoutingMode.LOCAL, RoutingMode.SPILLING, RoutingMode.EXTERNAL
POLICY = SpillPolicy(to=("gpt-4o-mini",))
CALM = sample(saturation_ratio=0.3, demand_replicas=1.0)
BAND = sample(saturation_ratio=0.7, demand_replicas=1.0)
FULL = sample(saturation_ratio=1.2, demand_replicas=4.0)
NONE_READY = sample(ready=0)


def run(
    ticks: list[PoolSample | None], *, state: SpillState | None = None, start_s: float = 0.0, pin: Pin | None = None
) -> tuple[list[SpillDecision], SpillState]:
    """One tick per second."""
    state = SpillState() if state is None else state
    decisions = []
    for index, tick in enumerate(ticks):
        decision, state = spill_step(tick, state, POLICY, pin=pin, now_s=start_s + index)
        decisions.append(decision)
    return decisions, state


def pin(routing: RoutingMode | None, until_s: float = 100.0) -> Pin:
    """An operator's word."""
    return Pin(routing=routing, replicas=None, who="ada", reason="test", until_s=until_s)


def spilling(ratio: float = 0.5, since_s: float = 0.0, at_s: float = 0.0) -> SpillState:
    """A pool that spills."""
    return SpillState(mode=SPILLING, ratio=ratio, since_s=since_s, at_s=at_s)


def test_nothing_returns_while_a_replica_says_nothing() -> None:
    """The ratio stands, or rises with demand; once the replica speaks the ramp goes on."""
    calm, short = (
        replace(sample(saturation_ratio=0.3, demand_replicas=demand), replicas_unknown=1) for demand in (1, 4)
    )
    decisions, state = run([calm] * 30, state=spilling())
    assert {(decision.mode, decision.ratio) for decision in decisions} == {(SPILLING, 0.5)}
    assert decisions[0].reason == "no word from 1 of 2 replicas"
    assert run([short], state=state)[0][0].ratio == 0.5
    assert run([replace(short, demand_replicas=8.0)], state=state)[0][0].ratio == 0.75
    assert run([CALM, CALM], state=state, start_s=30.0)[0][1].ratio < 0.5


def test_one_saturated_scrape_is_not_a_burst() -> None:
    """It starts on the second saturated second, with the share that does not fit, and not when it calms between."""
    decisions, _ = run([FULL, FULL])
    assert [decision.mode for decision in decisions] == [LOCAL, SPILLING]
    assert decisions[1].ratio == 0.5
    assert "saturated: 1.20 >= 0.90" in decisions[1].reason
    assert [decision.mode for decision in run([FULL, CALM, FULL])[0]] == [LOCAL, LOCAL, LOCAL]


def test_saturated_although_demand_seems_to_fit_spills_step_by_step() -> None:
    """The estimate is wrong, so the share grows while saturation lasts."""
    hot = sample(saturation_ratio=1.0, demand_replicas=0.0)
    decisions, _ = run([hot] * 5)
    assert [round(decision.ratio, 3) for decision in decisions] == [0.0, 0.05, 0.1, 0.15, 0.2]


def test_what_gateways_send_away_one_by_one_needs_no_share() -> None:
    """A pool that is full now and then keeps its traffic: demand fits, or exceeds it by no more than chance does."""
    refusing = replace(sample(saturation_ratio=1.0, demand_replicas=1.9), refused_now=3.0, arrivals_per_s=20.0)
    decisions, _ = run([refusing] * 60)
    assert {(one.mode, one.ratio) for one in decisions} == {(LOCAL, 0.0)}
    assert decisions[1].reason == "gateways send away what finds no place"
    decisions, _ = run([replace(refusing, demand_replicas=2.09)] * 60)
    assert {one.mode for one in decisions} == {LOCAL}


def test_what_lastingly_exceeds_the_pool_leaves_by_its_share() -> None:
    """After a while, less what chance makes of 400 arrivals; gateways refuse as well, so it does not grow by itself."""
    short = replace(sample(saturation_ratio=1.0, demand_replicas=4.0), refused_now=3.0, arrivals_per_s=20.0)
    decisions, state = run([short] * 60)
    assert {(one.mode, round(one.ratio, 6)) for one in decisions[:20]} == {(LOCAL, 0.0)}
    assert {(one.mode, round(one.ratio, 6)) for one in decisions[20:]} == {(SPILLING, 0.4)}
    fits = replace(short, demand_replicas=1.9)
    assert run([fits] * 2, state=state, start_s=60.0)[0][1].ratio == pytest.approx(0.36)


def test_nearly_full_is_what_a_pool_is_meant_to_be() -> None:
    """A KV cache that is used as planned sends nobody away while demand fits."""
    hot = sample(saturation_ratio=0.95, demand_replicas=1.9)
    decisions, _ = run([hot] * 30)
    assert {(one.mode, one.ratio, one.reason) for one in decisions} == {(LOCAL, 0.0, "nearly full, and demand fits")}
    ratios = {round(one.ratio, 6) for one in run([replace(hot, demand_replicas=2.5)] * 30)[0][1:]}
    assert ratios == {0.2}


def test_it_ends_once_calm_has_lasted() -> None:
    """Three of them; one calm second among noisy ones is none."""
    noisy = [CALM, BAND] * 30
    decisions, state = run(noisy, state=spilling(0.0), start_s=30.0)
    assert {one.mode for one in decisions} == {SPILLING}
    decisions, _ = run([CALM] * 90, state=state, start_s=90.0)
    assert [one.mode for one in decisions].index(LOCAL) == 60


def test_between_the_thresholds_it_keeps_spilling() -> None:
    """Hysteresis: the ratio comes down by the ramp, the mode stays."""
    decisions, _ = run([BAND] * 60, state=spilling(0.1), start_s=30.0)
    assert {decision.mode for decision in decisions} == {SPILLING}
    assert decisions[-1].ratio == 0.0


def test_traffic_comes_back_by_the_ramp_and_then_it_ends() -> None:
    """At most 2 % per second, and Local only once all of it is back."""
    decisions, _ = run([CALM] * 80, state=spilling(0.5, at_s=29.0), start_s=30.0)
    ratios = [decision.ratio for decision in decisions]
    assert ratios[:3] == pytest.approx([0.48, 0.46, 0.44])
    first_local = [decision.mode for decision in decisions].index(LOCAL)
    assert ratios[first_local - 36] == pytest.approx(0.0, abs=0.01)
    assert first_local == 60  # three dwells of calm
    assert decisions[first_local].reason == "calm: 0.30"


def test_demand_that_does_not_fit_keeps_its_ratio_until_calm_for_a_dwell() -> None:
    """The demand estimate is a floor; a dwell of measured calm outweighs it."""
    doubtful = sample(saturation_ratio=0.2, demand_replicas=4.0)
    decisions, _ = run([doubtful] * 40, state=spilling(0.5), start_s=30.0)
    assert decisions[19].ratio == 0.5
    assert decisions[19].reason == "demand does not fit"
    assert decisions[25].ratio < 0.5
    assert decisions[25].reason == "returning by the ramp"


def test_no_mode_ends_before_its_dwell() -> None:
    """A short calm keeps it spilling; a return to saturation within the dwell waits."""
    calm = replace(spilling(0.0, since_s=0.0), calm_since_s=-45.0)
    assert run([CALM], state=calm, start_s=19.0)[0][0].mode is SPILLING
    assert run([CALM], state=calm, start_s=20.0)[0][0].mode is LOCAL
    fresh = SpillState(mode=LOCAL, since_s=0.0)
    decisions, _ = run([FULL] * 25, state=fresh)
    assert [decision.mode for decision in decisions].index(SPILLING) == 20


def test_without_a_ready_replica_everything_leaves_at_once() -> None:
    """No dwell holds requests on a dead pool; once a replica is back it returns by the ramp after the dwell."""
    decisions, state = run([CALM, NONE_READY])
    assert decisions[1] == SpillDecision(mode=EXTERNAL, ratio=1.0, reason="no_ready_replica")
    decisions, _ = run([CALM] * 30, state=state, start_s=2.0)
    assert decisions[0] == SpillDecision(mode=EXTERNAL, ratio=1.0, reason="dwell")
    back = [decision.mode for decision in decisions].index(SPILLING)
    assert back == 19
    assert decisions[back].ratio == pytest.approx(0.98)


@pytest.mark.parametrize(
    "blind", [None, sample(saturation_ratio=nan), sample(demand_replicas=nan)], ids=["none", "nan", "nan-demand"]
)
def test_blind_holds(blind: PoolSample | None) -> None:
    """No data keeps mode and ratio, for as long as it lasts."""
    for state in (SpillState(), spilling(0.4), SpillState(mode=EXTERNAL, ratio=1.0, since_s=0.0)):
        decisions, _ = run([blind] * 100, state=state)
        assert {(item.mode, item.ratio, item.reason) for item in decisions} == {(state.mode, state.ratio, "no_data")}


@pytest.mark.parametrize(
    ("mode", "tick", "ratio"),
    [
        (LOCAL, FULL, 0.0),
        (EXTERNAL, CALM, 1.0),
        (SPILLING, FULL, 0.5),
        (SPILLING, CALM, 0.2),
        (SPILLING, None, 0.2),
        (EXTERNAL, None, 1.0),
    ],
)
def test_a_pin_outranks_everything(mode: RoutingMode, tick: PoolSample | None, ratio: float) -> None:
    """At once, whatever is measured; pinned to Spilling the ratio follows demand."""
    decisions, state = run([tick], state=spilling(0.2), start_s=1.0, pin=pin(mode))
    assert decisions == [SpillDecision(mode=mode, ratio=ratio, reason="pinned by ada: test")]
    assert state.since_s == (0.0 if mode is SPILLING else 1.0)


@pytest.mark.parametrize("ignored", [pin(EXTERNAL, until_s=5.0), pin(None)], ids=["expired", "replicas-only"])
def test_pins_that_do_not_apply_are_ignored(ignored: Pin) -> None:
    """An expired pin, and one on replicas only, change no routing."""
    assert run([CALM], start_s=5.0, pin=ignored)[0][0].mode is LOCAL


def test_a_long_gap_between_ticks_does_not_jump() -> None:
    """After an hour without ticks the ratio moves five seconds' worth; a clock that went back moves nothing."""
    assert run([BAND], state=spilling(0.5), start_s=3600.0)[0][0].ratio == pytest.approx(0.4)
    assert run([BAND], state=spilling(0.5, at_s=50.0), start_s=40.0)[0][0].ratio == 0.5


@pytest.mark.parametrize(
    ("ready", "demand", "ratio"), [(2, 4.0, 0.5), (2, 2.0, 0.0), (2, 0.0, 0.0), (0, 3.0, 1.0), (2, -1.0, 0.0)]
)
def test_overflow_is_what_the_ready_replicas_cannot_serve(ready: int, demand: float, ratio: float) -> None:
    """1 - ready / demand, within 0..1."""
    assert overflow_ratio(sample(ready=ready, demand_replicas=demand)) == ratio


SAMPLES = st.none() | st.builds(
    sample,
    ready=st.integers(0, 4),
    saturation_ratio=st.floats(0.0, 3.0),
    demand_replicas=st.floats(0.0, 20.0),
)


@given(ticks=st.lists(st.tuples(SAMPLES, st.floats(0.1, 15.0)), max_size=80), dwell_s=st.floats(0.0, 60.0))
def test_whatever_is_measured_the_rules_hold(ticks: list[tuple[PoolSample | None, float]], dwell_s: float) -> None:
    """Ratio within 0..1; blind changes nothing; no flip within the dwell; the ratio falls by the ramp only."""
    policy = SpillPolicy(to=("x",), min_dwell_s=dwell_s)
    state, now_s, flipped_at_s = SpillState(), 0.0, None
    for tick, gap_s in ticks:
        now_s += gap_s
        before = state
        decision, state = spill_step(tick, before, policy, now_s=now_s)
        assert 0.0 <= decision.ratio <= 1.0
        assert (state.mode, state.ratio) == (decision.mode, decision.ratio)
        assert (decision.mode is LOCAL) <= (decision.ratio == 0.0)
        if tick is None:
            assert (state.mode, state.ratio, state.since_s) == (before.mode, before.ratio, before.since_s)
            continue
        assert before.ratio - state.ratio <= policy.return_ramp_ratio_per_s * gap_s + 1e-9
        assert (tick.replicas_ready == 0) <= (decision.mode is EXTERNAL)
        if state.mode is not before.mode:
            assert tick.replicas_ready == 0 or flipped_at_s is None or now_s - flipped_at_s >= dwell_s
            flipped_at_s = now_s
