"""Several gateways: demand is the sum over them, and one that is silent is unknown, not idle."""

from __future__ import annotations

import pytest
from loop_values import DRAINING, POOL, SPILLING, pool, replica
from loop_world import World

from controller.core.samples import EngineMetrics, GatewayCounters, PoolCounters, ProviderCounters
from controller.loop.demand import Demand, PoolDemand, summed
from controller.loop.gateways import Gateways, GatewaysWord
from controller.loop.views import Seen, unused
from controller.telemetry.gateway_metrics import registry_of, render

COOLDOWN_S = int(POOL.scale.scale_down_cooldown_s)
THREE = ("east", "north", "west")


@pytest.fixture
def world() -> World:
    """Three gateways under the load of 2.5 replicas."""
    made = World(pool(max_replicas=6))
    made.gateways = THREE
    made.run(150, llama_8b=2.5)
    return made


def counted(arrivals: float, **more: object) -> PoolCounters:
    """So many requests of 200 and 100 tokens."""
    made = {"arrivals": arrivals, "input_tokens": 200.0 * arrivals, "output_tokens": 100.0 * arrivals}
    return PoolCounters(**{**made, **more})  # type: ignore[arg-type]


def test_a_pool_is_sized_by_what_all_gateways_count(world: World) -> None:
    """A third of the demand at each: three replicas, as with one gateway that counts all of it."""
    alone = World(pool(max_replicas=6))
    assert world.run(1)[-1].desired_replicas == alone.run(151, llama_8b=2.5)[-1].desired_replicas == 3


def test_while_one_is_silent_nothing_shrinks_or_comes_back(world: World) -> None:
    """What it counts is unknown: demand may be anything above the others', for however long; then it is known again."""
    world.silent, drained = ("north",), world.platform.done("drain")
    views = world.run(3 * COOLDOWN_S, llama_8b=0.3)
    assert {view.desired_replicas for view in views} == {3}
    assert views[-1].decision_reason.startswith("no word from gateways: 1")
    assert world.platform.done("drain") == drained
    world.silent = ()
    views = world.run(3 * COOLDOWN_S)
    assert views[COOLDOWN_S - 5].desired_replicas == 3
    assert views[-1].desired_replicas == 1


def test_while_one_is_silent_a_pool_may_grow(world: World) -> None:
    """Where what the others count is already too much."""
    world.silent = ("north",)
    assert world.run(60, llama_8b=5.0)[-1].desired_replicas in {4, 5}  # two thirds of it are seen


def test_a_spill_does_not_end_while_one_is_silent() -> None:
    """The ratio stands until all have spoken."""
    world = World(pool(max_replicas=1))
    world.gateways = THREE
    before = world.run(60, llama_8b=3.0)[-1]
    assert before.mode is SPILLING
    world.silent = ("east",)
    views = world.run(120, llama_8b=0.2)
    assert {view.mode for view in views} == {SPILLING}
    assert min(view.spill_ratio for view in views) >= before.spill_ratio
    world.silent = ()
    assert world.run(200)[-1].mode is not SPILLING


def test_all_silent_is_blind(world: World) -> None:
    """Nothing at all changes."""
    world.gateway_up = False
    assert {view.decision_reason for view in world.run(100, llama_8b=0.0)} == {"no_data"}


def test_the_metric_names_who_is_silent(world: World) -> None:
    """One for each gateway."""
    world.silent = ("west",)
    world.run(1)
    text = render(registry_of(world.loop.metrics)).decode()
    assert 'spillway_controller_gateway_silent{gateway="west"} 1.0' in text
    assert 'spillway_controller_gateway_silent{gateway="east"} 0.0' in text


def test_rates_are_summed_and_sizes_weighed() -> None:
    """By requests; who waits or was refused is counted, and the slowest tells the TTFT."""
    both = summed(
        [
            Demand(span_s=20.0, arrivals_per_s=3.0, spilled_per_s=1.0, input_tokens=100.0, output_tokens=10.0),
            Demand(
                span_s=4.0,
                arrivals_per_s=1.0,
                spilled_per_s=0.5,
                input_tokens=500.0,
                output_tokens=50.0,
                bound_ratio=0.8,
                refused_now=2.0,
                waiting=3.0,
                ttft_p95_s=0.7,
            ),
        ]
    )
    assert both == Demand(
        span_s=20.0,
        arrivals_per_s=4.0,
        spilled_per_s=1.5,
        input_tokens=200.0,
        output_tokens=20.0,
        bound_ratio=pytest.approx(0.2),
        refused_now=2.0,
        waiting=3.0,
        ttft_p95_s=0.7,
    )
    assert summed([Demand(span_s=4.0)]) == Demand(span_s=4.0)


def test_one_that_comes_back_is_no_flood() -> None:
    """What it took while it was silent is spread over that time, and one that starts anew counts from its start."""
    demand = PoolDemand()
    for second in range(30):
        demand.add(float(second), {"a": counted(3.0 * second), "b": counted(1e6 + 5.0 * second)})
    for second in range(30, 90):
        assert demand.add(float(second), {"a": counted(3.0 * second)}).arrivals_per_s == pytest.approx(3.0)
    back = demand.add(90.0, {"a": counted(270.0), "b": counted(1e6 + 450.0)})
    assert back.arrivals_per_s == pytest.approx(8.0)
    fresh = demand.add(91.0, {"a": counted(273.0), "b": counted(7.0)})
    assert fresh.arrivals_per_s == pytest.approx(3.0)


def word(**said: GatewayCounters | None) -> GatewaysWord:
    """One scrape."""
    found = Gateways().hear(said)
    assert found is not None
    return found


def test_nobody_heard_is_no_word() -> None:
    """Not an empty one."""
    assert Gateways().hear({"a": None, "b": None}) is None
    assert Gateways().hear({}) is None


def test_a_replica_is_unused_when_every_gateway_says_so() -> None:
    """In flight at one of them is in use; so it is while one is silent."""
    seen = Seen(
        replicas=(replica("r", DRAINING),),
        engines={"r": EngineMetrics(running=0, waiting=0, kv_cache_usage_ratio=0.0)},
        sample=None,
    )
    idle, busy = GatewayCounters(), GatewayCounters(replica_in_flight={"r": 1})
    assert unused(seen, word(a=idle, b=idle)) == {"r"}
    assert unused(seen, word(a=idle, b=busy)) == frozenset()
    assert unused(seen, word(a=idle, b=None)) == frozenset()
    assert unused(seen, None) == frozenset()


def test_a_pool_that_one_does_not_know_is_heard_of_by_the_others_alone() -> None:
    """A gateway of an older configuration."""
    heard = word(
        a=GatewayCounters(pools={"p": counted(1.0)}), b=GatewayCounters(pools={"p": counted(2.0), "q": counted(3.0)})
    )
    assert {name: set(said) for name, said in heard.pools.items()} == {"p": {"a", "b"}, "q": {"b"}}
    assert heard.count == 2


@pytest.mark.parametrize(
    ("good", "counts_as_good"),
    [((1, 1), True), ((0, 0), False), ((0, 2), False), ((0, 2, 3), True), ((0, 0, 3), False)],
)
def test_a_provider_without_a_key_at_half_of_them_is_without(good: tuple[int, ...], counts_as_good: bool) -> None:
    """Who does not call it does not notice that it is down, so one good word is not enough."""
    said = {
        str(number): GatewayCounters(providers={"openai": ProviderCounters(keys_good=keys)})
        for number, keys in enumerate(good)
    }
    assert (word(**said).providers["openai"].keys_good > 0) is counts_as_good


def test_answers_of_a_provider_only_grow() -> None:
    """From when each gateway was first heard, whichever starts anew or is silent for a while."""
    gateways, found = Gateways(), []
    for a, b in ((100.0, 5000.0), (110.0, 5001.0), (110.0, None), (3.0, 5007.0), (5.0, 5007.0)):
        said = {
            name: None if count is None else GatewayCounters(
                providers={"openai": ProviderCounters(keys_good=1, answered=count)}
            )
            for name, count in (("a", a), ("b", b))
        }  # fmt: skip
        heard = gateways.hear(said)
        assert heard is not None
        found.append(heard.providers["openai"].answered)
    assert found == [0.0, 11.0, 11.0, 17.0, 19.0]
