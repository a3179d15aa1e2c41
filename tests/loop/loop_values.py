"""Small values for the tests of the control loop: a pool, replicas, samples, pins, and one call of `plan_pool`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from controller.autoscale.shared_nodes import Given
from controller.config.settings import BudgetSettings, ControllerSettings, GatewaySettings, Settings
from controller.core.fleet import Pin, Replica, ReplicaState, RoutingMode
from controller.core.models import StepTimes
from controller.core.pools import EngineArgs, Pool, ScalePolicy, Slo, SpillPolicy
from controller.core.requests import Phase
from controller.core.samples import PoolSample
from controller.loop.plan import PoolPlan, PoolState, plan_pool, wish_pool
from controller.routing.phases import DEFAULT_RULES
from tests.autoscale import pool_samples

READY, WARMING, DRAINING, LOST = ReplicaState.READY, ReplicaState.WARMING, ReplicaState.DRAINING, ReplicaState.LOST
LOCAL, SPILLING, EXTERNAL = RoutingMode.LOCAL, RoutingMode.SPILLING, RoutingMode.EXTERNAL
START_S = 1_800_000_000.0
STEPS = StepTimes(
    alpha_ms=28.0, beta_ms_per_seq=0.1, gamma_ms_per_1k_context=0.3, correction=1.0,
    p0_ms=10.0, p1_ms_per_1k=250.0, p2_ms_per_1k_sq=2.0, kv_cache_tokens=30_000,
)  # fmt: skip


def pool(name: str = "llama-8b", *, endpoints: tuple[str, ...] = (), **scale: object) -> Pool:
    """A pool that spills, of 1 to 4 replicas unless told otherwise."""
    return Pool(
        name=name,
        model=f"{name}-self",
        instance_type="g5.2xlarge",
        engine=EngineArgs(),
        slo=Slo(ttft_p95_s=1.0, tpot_p95_s=0.05),
        scale=replace(ScalePolicy(scale_down_cooldown_s=60.0, drain_deadline_s=30.0), **scale),  # type: ignore[arg-type]
        spill=SpillPolicy(to=("gpt-4o-mini",)),
        endpoints=endpoints,
    )


POOL = pool()


def replica(name: str, state: ReplicaState = READY, *, pool: str = "llama-8b", **changes: object) -> Replica:
    """A replica that started long ago and is ready as long, or one that began to warm up just now."""
    made = Replica(
        replica_id=name,
        pool=pool,
        url=f"http://{name}",
        state=state,
        started_at_s=START_S - (10.0 if state is WARMING else 1000.0),
        ready_at_s=None if state is WARMING else START_S - 990.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def sample(demand: float = 0.5, *, ready: int = 1, saturation: float = 0.2, at_s: float = START_S) -> PoolSample:
    """One tick's measurement."""
    return pool_samples.sample(demand, ready=ready, saturation=saturation, at_s=at_s)


def pin(**changes: object) -> Pin:
    """An operator's word for an hour."""
    word = Pin(routing=None, replicas=None, who="ada", reason="test", until_s=START_S + 3600.0)
    return replace(word, **changes)  # type: ignore[arg-type]


SERVED = PoolState(served=True)
CALM = sample()
ONE = (replica("a"),)


@dataclass(frozen=True)
class Tick:
    """One call of `wish_pool` and `plan_pool` with what matters in a test."""

    replicas: tuple[Replica, ...] = ONE
    sample: PoolSample | None = CALM
    state: PoolState = SERVED
    pin: Pin | None = None
    drained: frozenset[str] = frozenset()
    ordered: frozenset[str] = frozenset()
    after_s: float = 0.0
    given: Given | None = None

    def run(self) -> tuple[PoolPlan, PoolState]:
        """The plan and the next state."""
        now_s = START_S + self.after_s
        wish, state = wish_pool(
            POOL,
            self.replicas,
            self.sample,
            self.state,
            pin=self.pin,
            managed=True,
            ordered=self.ordered,
            now_s=now_s,
        )
        return plan_pool(POOL, self.replicas, wish, state, given=self.given, drained=self.drained, now_s=now_s)


def settings(*pools: Pool, state_dir: Path = Path("unused")) -> Settings:
    """Settings with these pools, all of them with step times."""
    return Settings(
        file=None,
        state_dir=state_dir,
        phase=Phase.PHASE3,
        today=date(2026, 11, 25),
        gateway=GatewaySettings(),
        controller=ControllerSettings(tick_s=0.02),
        models={},
        providers={},
        pools={pool.name: pool for pool in pools},
        step_times={pool.name: STEPS for pool in pools},
        rules=DEFAULT_RULES,
        fallbacks={},
        budgets=BudgetSettings(),
    )
