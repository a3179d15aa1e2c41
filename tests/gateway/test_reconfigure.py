"""Another configuration while requests run: what comes later goes by it, what is under way is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest

from controller.config.changes import Adoption
from controller.config.settings import Settings
from controller.core.errors import EngineUnreachable
from controller.core.fleet import FleetView, PoolView
from controller.core.pools import Pool
from controller.core.secret import Secret
from controller.core.tenants import TenantPolicy
from controller.gateway.admin import Admin
from tests.gateway.gateway_builders import SetFleet, fleet, replica
from tests.gateway.gateway_world import (
    BEARER,
    DONE,
    EVENT,
    LAST,
    SETTINGS,
    USAGE,
    Answer,
    Heard,
    World,
    stream,
    whole,
    with_gateway,
)
from tests.gateway.jumping_loop import jumping

LLAMA = SETTINGS.pools["llama-8b"]


def take(world: World, settings: Settings) -> Adoption:
    """The gateway goes by these from now on."""

    async def now() -> Adoption:
        return world.gateway.reconfigure(settings, frozenset(settings.providers))

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return jumping(now())
    return world.gateway.reconfigure(settings, frozenset(settings.providers))


def with_pool(pool: Pool) -> Settings:
    """The settings with this pool changed, or added with a model of its own."""
    models = dict(SETTINGS.models)
    if pool.name != LLAMA.name:
        key = f"{pool.name}-self"
        pool, models[key] = replace(pool, model=key), replace(models[LLAMA.model], key=key, model_id=f"me/{pool.name}")
    steps = {**SETTINGS.step_times, pool.name: SETTINGS.step_times[LLAMA.name]}
    return replace(SETTINGS, models=models, pools={**SETTINGS.pools, pool.name: pool}, step_times=steps)


def without(name: str) -> Settings:
    """The settings without this pool."""
    pools = {key: pool for key, pool in SETTINGS.pools.items() if key != name}
    steps = {key: times for key, times in SETTINGS.step_times.items() if key != name}
    return replace(SETTINGS, pools=pools, step_times=steps)


def with_provider(name: str, **changes: Any) -> Settings:
    """The settings with this provider changed."""
    providers = {**SETTINGS.providers, name: replace(SETTINGS.providers[name], **changes)}
    return replace(SETTINGS, providers=providers)


def names(world: World) -> list[str]:
    """What `GET /v1/models` lists."""
    heard = jumping(world.send(b"", path="/v1/models", method="GET"))
    return [entry["id"] for entry in orjson.loads(heard.body)["data"]]


def test_a_pool_that_is_added_serves_at_once() -> None:
    """By its own name, as soon as it has a ready replica."""
    world = World()
    assert world.heard({"model": "fast"}).status == 404
    assert "fast" not in names(world)
    take(world, with_pool(replace(LLAMA, name="fast")))
    view = fleet(replica("r1"))
    world.feed.now = FleetView(
        pools={**view.pools, "fast": PoolView(name="fast", replicas=(replica("f1", pool="fast"),))}
    )
    world.own.script = [whole()]
    heard = world.heard({"model": "fast"})
    assert (heard.status, heard.headers["x-spillway-target"]) == (200, "fast")
    assert "fast" in names(world)
    assert world.gateway.metrics.targets["fast"].arrivals == 1


def test_a_stream_outlives_its_pool() -> None:
    """It goes on to its end, is billed and leaves no count behind; the next request hears that there is none."""

    async def main() -> tuple[Heard, Heard]:
        world = World()
        world.own.script = [stream(EVENT, 10.0, LAST, USAGE, DONE)]
        open_ = asyncio.create_task(world.ask({"stream": True}))
        await asyncio.sleep(5)
        take(world, without("llama-8b"))
        world.feed.now = FleetView()
        later = await world.ask({"model": "llama-8b"})
        heard = await open_
        assert world.gateway.metrics.in_flight == 0
        assert world.ledger.posted[-1].usage.output_tokens == 2
        take(world, without("llama-8b"))
        assert "llama-8b" not in world.gateway.metrics.targets
        return heard, later

    heard, later = jumping(main())
    assert (heard.status, heard.ended) == (200, True)
    assert heard.body.endswith(DONE)
    assert later.status == 404


def test_who_waits_before_a_pool_that_goes_is_told_at_once() -> None:
    """Nobody else may serve it: it hears that there is no target, rather than wait for what will not come."""

    async def main() -> Heard:
        world = World(feed=SetFleet(fleet()))
        asked = asyncio.create_task(world.ask(headers=[BEARER, (b"x-spillway-spill", b"never")]))
        await asyncio.sleep(2)
        assert not asked.done()
        take(world, without("llama-8b"))
        return await asked

    heard = jumping(main())
    assert (heard.status, heard.error["code"]) == (503, "no_target_available")
    assert "not in the configuration any more" in str(heard.error["message"])
    assert heard.took_s < 2.2


def test_a_request_whose_targets_are_all_gone_goes_by_the_new_plan() -> None:
    """It has not begun anywhere, so nothing is lost; the ledger has one row."""
    bound = replace(LLAMA, spill=replace(LLAMA.spill, to=()))
    settings = replace(with_pool(bound), fallbacks={})

    async def main() -> tuple[World, Heard]:
        world = World(settings=settings, feed=SetFleet(fleet()))
        world.external.script = [whole()]
        asked = asyncio.create_task(world.ask({"model": "llama-8b-self"}))
        await asyncio.sleep(2)
        assert not asked.done()
        gone = without("llama-8b")
        take(world, replace(gone, fallbacks={"llama-8b-self": ("gpt-6-luna",)}))
        return world, await asked

    world, heard = jumping(main())
    assert (heard.status, heard.headers["x-spillway-model"]) == (200, "gpt-6-luna")
    assert len(world.ledger.posted) == 1


def test_what_is_known_of_a_replica_stays_when_its_pool_changes() -> None:
    """What is under way, what was learned of its pace, what it has in its prefix cache; its terms are the new ones."""

    async def main() -> None:
        world = World()
        world.own.script = [stream(EVENT, 10.0, LAST, USAGE, DONE)]
        open_ = asyncio.create_task(world.ask({"stream": True}))
        await asyncio.sleep(5)
        load = world.gateway.loads.of("r1")
        fit, warm, timing = load.fit, load.warm, load.timing
        take(world, with_pool(replace(LLAMA, engine=replace(LLAMA.engine, max_num_seqs=8))))
        assert world.gateway.loads.of("r1") is load
        assert (load.in_flight, load.fit, load.warm) == (1, fit, warm)
        assert load.timing is not timing
        assert (await open_).ended
        assert load.in_flight == 0

    jumping(main())


def test_a_pool_that_does_not_change_is_not_touched() -> None:
    """Its timings are those there were: nothing is worked out again."""
    world = World()
    before = dict(world.gateway.pools._timings)
    take(world, with_pool(replace(LLAMA, slo=replace(LLAMA.slo, ttft_p95_s=9.0))))
    after = world.gateway.pools._timings
    assert after["mixtral-8x7b"] is before["mixtral-8x7b"]
    assert after["llama-8b"] is not before["llama-8b"]


@pytest.mark.parametrize("changed", [{"base_url": "https://other.example/v1"}], ids=["address"])
def test_calls_to_a_provider_go_where_it_is_now(changed: Mapping[str, Any]) -> None:
    """One under way ends where it began, and its old address does not come back with it."""

    async def main() -> World:
        world = World()
        world.external.script = [stream(EVENT, 10.0, LAST, USAGE, DONE), whole(), whole()]
        open_ = asyncio.create_task(world.ask({"model": "gpt-6-luna", "stream": True}))
        await asyncio.sleep(5)
        take(world, with_provider("openai", **changed))
        assert (await world.ask({"model": "gpt-6-luna"})).status == 200
        assert (await open_).ended
        assert (await world.ask({"model": "gpt-6-luna"})).status == 200
        return world

    world = jumping(main())
    former = SETTINGS.providers["openai"].base_url
    assert [call.base_url for call in world.external.calls] == [former, changed["base_url"], changed["base_url"]]
    assert world.gateway.metrics.targets["openai"].in_flight == 0


def test_a_price_that_changes_bills_what_comes_later() -> None:
    """Each request at the price that held when it came."""
    world = World()
    world.external.script = [whole(), whole()]
    world.heard({"model": "gpt-6-luna"})
    model = SETTINGS.models["gpt-6-luna"]
    dearer = replace(model, price=replace(model.price, usd_per_mtok_out=model.price.usd_per_mtok_out * 10))
    take(world, replace(SETTINGS, models={**SETTINGS.models, model.key: dearer}))
    world.heard({"model": "gpt-6-luna"})
    first, second = (entry.cost_nanousd for entry in world.ledger.posted)
    assert second > first > 0


def test_limits_of_keys_change_and_what_is_known_of_keys_stays() -> None:
    """A dead key stays dead; a limit per minute is the new one; keys that share a quota no more do not."""
    world = World()
    credentials, provider = world.gateway.credentials, SETTINGS.providers["openai"]
    [key] = credentials.of(provider, 0.0)
    life = key.life = replace(key.life, open_until_s=1e9)
    take(world, with_provider("openai", requests_per_min=1))
    now = world.gateway.settings.providers["openai"]
    [same] = credentials.of(now, 0.0)
    assert same is key
    assert same.account.requests is not None
    take(world, with_provider("openai", requests_per_min=1, shared_quota=not provider.shared_quota))
    [again] = credentials.of(world.gateway.settings.providers["openai"], 0.0)
    assert (again.life, again.secret) == (life, key.secret)
    assert again.account is not key.account


def test_keys_that_share_a_quota_from_now_on_have_one_account() -> None:
    """And calls under way end at the account they began with."""
    keys = {name: (Secret(f"sk-{name}"), Secret(f"sk-{name}-2")) for name in SETTINGS.providers}
    world = World(settings=with_provider("openai", shared_quota=False), provider_keys=keys)
    credentials = world.gateway.credentials
    first, second = credentials.of(world.settings.providers["openai"], 0.0)
    assert first.account is not second.account
    first.started(1, 0.0)
    take(world, with_provider("openai", shared_quota=True))
    one, two = credentials.of(world.gateway.settings.providers["openai"], 0.0)
    assert one.account is two.account
    first.ended()
    assert (first.account.in_flight, one.account.in_flight) == (0, 0)


def test_a_provider_that_goes_takes_its_keys_and_series_along() -> None:
    """Nothing grows with providers that came and went."""
    world = World()
    world.external.script = [whole()]
    world.heard({"model": "gpt-6-luna"})
    assert "openai" in world.gateway.metrics.targets
    take(world, replace(SETTINGS, providers={key: one for key, one in SETTINGS.providers.items() if key != "openai"}))
    assert "openai" not in world.gateway.metrics.targets
    assert "openai" not in world.gateway.credentials._known
    admin = Admin(world.gateway, now_s=lambda: 0.0)
    assert b'provider="openai"' not in admin._routes[b"/metrics"]()[2]


def test_limits_per_minute_change_within_the_minute() -> None:
    """What was used counts under the new limit: fewer are let in, more, or any number."""

    async def main() -> list[int]:
        world = World(settings=replace(SETTINGS, tenants={"acme": TenantPolicy(requests_per_min=2)}))
        world.own.script = [whole() for _ in range(20)]
        running = asyncio.create_task(world.gateway.rate_limits.run())
        heard = [(await world.ask()).status for _ in range(3)]
        for limit in (4, 3, None):
            take(world, replace(SETTINGS, tenants={"acme": TenantPolicy(requests_per_min=limit)}))
            heard += [(await world.ask()).status for _ in range(3)]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return heard

    assert jumping(main()) == [200, 200, 429, 200, 200, 429, 429, 429, 429, 200, 200, 200]


def test_a_tenant_gets_a_limit_while_it_has_none() -> None:
    """From the next request on."""

    async def main() -> list[int]:
        world = World()
        world.own.script = [whole() for _ in range(20)]
        running = asyncio.create_task(world.gateway.rate_limits.run())
        heard = [(await world.ask()).status for _ in range(3)]
        take(world, replace(SETTINGS, tenants={"acme": TenantPolicy(requests_per_min=1)}))
        heard += [(await world.ask()).status for _ in range(2)]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return heard

    assert jumping(main()) == [200, 200, 200, 200, 429]


def test_what_tenants_may_ask_for_changes() -> None:
    """A model is taken off a tenant's list, and put on it again."""
    world = World()
    world.own.script = [whole(), whole()]
    assert world.heard().status == 200
    own_only = TenantPolicy(reach=replace(TenantPolicy().reach, own_only=True))
    take(world, replace(SETTINGS, tenants={"acme": own_only}))
    assert world.heard({"model": "gpt-6-luna"}).error["code"] == "residency"
    world.external.script = [whole()]
    take(world, SETTINGS)
    assert world.heard({"model": "gpt-6-luna"}).status == 200


def test_caps_and_deadlines_change() -> None:
    """For requests that come later; one under way keeps its own."""

    async def main() -> tuple[Heard, Heard, Heard]:
        world = World()
        world.own.script = [whole(head_after_s=50), whole(head_after_s=50)]
        early = asyncio.create_task(world.ask())
        await asyncio.sleep(1)
        gateway = with_gateway(
            caps=replace(SETTINGS.gateway.caps, body_bytes=2000, in_flight=1),
            timeouts=replace(SETTINGS.gateway.timeouts, total_s=5.0),
        )
        take(world, gateway)
        large = await world.ask({"user": "x" * 3000})
        full = await world.ask()
        return large, full, await early

    large, full, early = jumping(main())
    assert (full.status, full.error["code"]) == (429, "gateway_full")
    assert large.status in {413, 429}
    assert early.status == 200


def test_a_spent_budget_is_asked_for_again() -> None:
    """The ledger has refused until the end of the day; with other budgets it is asked anew."""
    world = World()
    world.gateway.parts.meter.spent.until_s["acme"] = 1e12
    take(world, replace(SETTINGS, fallbacks={}))
    assert world.gateway.parts.meter.spent.until_s == {}


def test_what_cannot_change_is_said_and_the_rest_changes() -> None:
    """A port keeps its value."""
    world = World()
    adoption = take(world, with_gateway(port=9999, resume=True))
    assert adoption.kept == ("gateway.port",)
    assert adoption.changed == ("gateway.resume",)
    assert world.gateway.settings.gateway.port == SETTINGS.gateway.port
    assert world.gateway.parts.dispatcher._may_resume


def test_a_breaker_stays_open() -> None:
    """A replica that keeps failing is left alone under the new settings too."""

    async def main() -> None:
        world = World(feed=SetFleet(fleet(replica("r1"), replica("r2"))))
        broken: list[Answer | Exception] = [EngineUnreachable("down"), EngineUnreachable("down")]
        world.own.script = broken
        world.external.script = [whole()]
        await world.ask()
        out = world.gateway.loads.ejected()
        assert out
        take(world, with_pool(replace(LLAMA, slo=replace(LLAMA.slo, ttft_p95_s=9.0))))
        assert world.gateway.loads.ejected() == out

    jumping(main())


def test_hundreds_of_changes_leave_nothing_behind() -> None:
    """Pools that come and go under load: no count, line, gate or series is left of them."""

    async def main() -> World:
        world = World()
        for number in range(200):
            pool = replace(LLAMA, name=f"p{number}", slo=replace(LLAMA.slo, ttft_p95_s=1.0 + number))
            take(world, with_pool(pool))
            view = PoolView(name=pool.name, replicas=(replica(f"r-{number}", pool=pool.name),))
            world.feed.now = FleetView(pools={pool.name: view})
            world.own.script = [whole()]
            assert (await world.ask({"model": pool.name})).status == 200
        take(world, SETTINGS)
        world.feed.now = fleet(replica("r1"))
        world.gateway.pools.view()
        return world

    world = jumping(main())
    gateway = world.gateway
    assert set(gateway.loads.in_flight()) == {"r1"}
    assert gateway.metrics.targets.keys() == SETTINGS.pools.keys()
    assert gateway.pools._now.keys() == gateway.pools._lengths.keys() == SETTINGS.pools.keys()
    assert gateway.parts.rooms._by_pool.keys() <= SETTINGS.pools.keys()
    assert len(gateway.parts.destinations._known) <= 1
