"""Own pools with the loads, breakers, clock and fleet view that they look at."""

from __future__ import annotations

from controller.core.errors import EngineUnavailable
from controller.core.fleet import Replica
from controller.core.models import StepTimes
from controller.core.pools import Pool
from controller.gateway.breakers import Breakers
from controller.gateway.exchange import Skip
from controller.gateway.loads import Loads
from controller.gateway.own_pools import OwnPools
from controller.routing.balance import Candidate
from controller.routing.prefix import Prefix
from controller.telemetry.replica_metrics import ReplicaMetrics
from tests.gateway.gateway_builders import POOL, SetClock, SetFleet, fleet
from tests.routing.builders import STEPS

NONE: frozenset[str] = frozenset()
GONE = EngineUnavailable("gone")


class World:
    """OwnPools with what it looks at."""

    def __init__(self, *replicas: Replica, pool: Pool = POOL, steps: StepTimes | None = STEPS) -> None:
        self.clock, self.loads, self.breakers = SetClock(), Loads(), Breakers()
        self.metrics = ReplicaMetrics(ejected=self.loads.ejected, slowness=self.loads.slowness)
        self.feed = SetFleet(fleet(*replicas))
        self.pool = pool
        self.pools = OwnPools(
            {pool.name: pool},
            {} if steps is None else {pool.name: steps},
            self.feed,
            self.clock,
            loads=self.loads,
            breakers=self.breakers,
            metrics=self.metrics,
        )

    def breaks(self, name: str) -> None:
        """A replica or provider fails five times."""
        for _ in range(5):
            self.breakers.failed(name, GONE, self.clock.monotonic_s())

    def find(
        self, tried: frozenset[str] = NONE, input_tokens: int = 100, prefixes: tuple[Prefix, ...] = ()
    ) -> Candidate | Skip:
        """Who would answer first."""
        return self.pools.find(self.pool, input_tokens, tried, self.clock.monotonic_s(), prefixes=prefixes)

    def found(self, tried: frozenset[str] = NONE) -> str:
        """Its id."""
        candidate = self.find(tried)
        assert isinstance(candidate, Candidate), candidate
        return candidate.replica.replica_id

    def skipped(self, tried: frozenset[str] = NONE) -> Skip:
        """Why there is none."""
        skip = self.find(tried)
        assert isinstance(skip, Skip)
        return skip
