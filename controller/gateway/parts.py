"""What a gateway is made of behind its door, and how that goes from one configuration to the next. Called by `app`.

A change takes hold between two steps of the event loop, whole: a request that has its plan keeps it, one that comes
later is planned by the new settings. What is under way, learned or counted stays with whom it belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controller.config.settings import Settings
from controller.core.secret import Secret
from controller.gateway.admission import Admission
from controller.gateway.breakers import Breakers
from controller.gateway.cache_salts import CacheSalts
from controller.gateway.calls import Calls
from controller.gateway.credentials import Credentials
from controller.gateway.destinations import Destinations
from controller.gateway.dispatch import Dispatcher
from controller.gateway.loads import Loads
from controller.gateway.metering import Meter
from controller.gateway.own_pools import OwnPools
from controller.gateway.ports import Clock, FleetFeed, Ledger, LimitRows, Upstream
from controller.gateway.rate_limits import RateLimits
from controller.gateway.resume import Resumer
from controller.gateway.waiting import Rooms
from controller.gateway.watch import Watch
from controller.telemetry.gateway_metrics import GatewayMetrics
from controller.telemetry.replica_metrics import ReplicaMetrics


class Parts:
    """All of them, joined."""

    def __init__(
        self,
        settings: Settings,
        *,
        ledger: Ledger,
        limits: LimitRows,
        fleet: FleetFeed,
        own: Upstream,
        external: Upstream,
        provider_keys: Mapping[str, Sequence[Secret]],
        engine_key: Secret | None,
        pepper: bytes,
        clock: Clock,
    ) -> None:
        timeouts, self._clock = settings.gateway.timeouts, clock
        self.loads = Loads()
        self.breakers = Breakers()
        self.credentials = Credentials(provider_keys)
        self.metrics = metrics = GatewayMetrics(self.loads.in_flight)
        self.replica_metrics = ReplicaMetrics(ejected=self.loads.ejected, slowness=self.loads.slowness)
        self.pools = OwnPools(
            settings.pools,
            settings.step_times,
            fleet,
            clock,
            loads=self.loads,
            breakers=self.breakers,
            metrics=self.replica_metrics,
        )
        self.rate_limits = RateLimits(settings.tenants, limits, clock, metrics)
        self.destinations = Destinations(
            own=own,
            external=external,
            metrics=metrics,
            engine_key=engine_key,
            media_hosts=settings.gateway.media_hosts,
        )
        self.meter = Meter(ledger, metrics, self.destinations, clock)
        self.rooms = Rooms(metrics, clock, longest=settings.gateway.caps.waiting, ttft_timeout_s=timeouts.ttft_s)
        self.admission = Admission(
            self.pools,
            loads=self.loads,
            credentials=self.credentials,
            ledger=ledger,
            rooms=self.rooms,
            destinations=self.destinations,
            spent=self.meter.spent,
            step_times=settings.step_times,
            total_s=timeouts.total_s,
            clock=clock,
        )
        self.watch = Watch(self.pools, self.loads, timeouts, clock)
        self.calls = Calls(
            breakers=self.breakers,
            ledger=ledger,
            meter=self.meter,
            metrics=metrics,
            timeouts=timeouts,
            clock=clock,
            loads=self.loads,
            resumer=Resumer(self.pools, own, clock),
            watch=self.watch,
        )
        self.dispatcher = Dispatcher(
            admission=self.admission,
            calls=self.calls,
            destinations=self.destinations,
            ledger=ledger,
            metrics=metrics,
            timeouts=timeouts,
            clock=clock,
            salts=CacheSalts(pepper),
            may_resume=settings.gateway.resume,
        )
        self._name_pools(settings)

    def reconfigure(self, before: Settings, settings: Settings) -> None:
        """Afterwards everything here goes by `settings`."""
        gateway, timeouts = settings.gateway, settings.gateway.timeouts
        self.pools.reconfigure(settings.pools, settings.step_times)
        self.rooms.reconfigure(settings.pools, longest=gateway.caps.waiting, ttft_timeout_s=timeouts.ttft_s)
        self.admission.reconfigure(settings.pools, settings.step_times, timeouts.total_s)
        self.credentials.reconfigure(before.providers, settings.providers, self._clock.monotonic_s())
        self.rate_limits.reconfigure(settings.tenants)
        self.destinations.reconfigure(gateway.media_hosts)
        self.meter.spent.forget()
        self.watch.timeouts = self.calls.timeouts = timeouts
        self.dispatcher.reconfigure(timeouts, may_resume=gateway.resume)
        self.metrics.keep_only(settings.pools, settings.providers)
        self._name_pools(settings)

    def _name_pools(self, settings: Settings) -> None:
        """A pool that nobody has asked for yet says so by a counter at 0."""
        for name in settings.pools:
            self.metrics.target(name, is_own=True)
