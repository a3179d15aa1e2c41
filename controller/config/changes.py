"""From one configuration to the next while requests run: what is taken over, what is kept, what is new. Pure.

Called by the gateway and the control loop when spillway.yaml or a ModelPool has changed. Values that are equal in both
stay the very objects they were, so that whoever holds one can tell by `is` whether it has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from controller.config.settings import ControllerSettings, GatewaySettings, Settings
from controller.core.pools import Pool

V = TypeVar("V")

# Bound at the start: sockets that listen, the folder and the database with everything in them.
FIXED = ("state_dir", "database_url_env", "standin_port")
FIXED_OF_GATEWAY = ("host", "port", "admin_host", "admin_port")
FIXED_OF_CONTROLLER = ("host", "port")
_TABLES = ("models", "providers", "pools", "step_times", "fallbacks", "tenants", "node_pools")
_PLAIN = ("phase", "rules", "budgets", "simulated_cold_start_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """`kept`: what was to change and cannot while the process runs. `changed`: what does, by its place in the file."""

    settings: Settings
    kept: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def adopt(old: Settings, new: Settings) -> Adoption:
    """The settings to go on with: the new ones, but for what cannot change, of which the old ones hold."""
    kept = [name for name in FIXED if getattr(old, name) != getattr(new, name)]
    gateway, kept_of_gateway = _gateway(old.gateway, new.gateway)
    controller, kept_of_controller = _controller(old.controller, new.controller)
    pools, kept_of_pools = _pools(old.pools, new.pools)
    new = replace(
        new,
        state_dir=old.state_dir,
        database_url_env=old.database_url_env,
        standin_port=old.standin_port,
        gateway=_same(old.gateway, gateway),
        controller=_same(old.controller, controller),
        pools=pools,
        step_times={
            name: steps
            for name in pools
            if (steps := (old if pools[name] is old.pools.get(name) else new).step_times.get(name)) is not None
        },
    )
    shared = replace(
        new,
        models=_shared(old.models, new.models),
        providers=_shared(old.providers, new.providers),
        pools=_shared(old.pools, new.pools),
        step_times=_shared(old.step_times, new.step_times),
        fallbacks=_shared(old.fallbacks, new.fallbacks),
        tenants=_shared(old.tenants, new.tenants),
        node_pools=_shared(old.node_pools, new.node_pools),
        rules=_same(old.rules, new.rules),
        budgets=_same(old.budgets, new.budgets),
    )
    return Adoption(
        settings=shared,
        kept=(*kept, *kept_of_gateway, *kept_of_controller, *kept_of_pools),
        changed=tuple(_changes(old, shared)),
    )


def _gateway(old: GatewaySettings, new: GatewaySettings) -> tuple[GatewaySettings, list[str]]:
    """Where it listens stays; so does how long the head of a request may take, which its sockets were made with."""
    kept = [f"gateway.{name}" for name in FIXED_OF_GATEWAY if getattr(old, name) != getattr(new, name)]
    timeouts = new.timeouts
    if timeouts.header_s != old.timeouts.header_s:
        kept.append("gateway.timeouts.header_s")
        timeouts = replace(timeouts, header_s=old.timeouts.header_s)
    place = {name: getattr(old, name) for name in FIXED_OF_GATEWAY}
    return replace(new, **place, timeouts=_same(old.timeouts, timeouts), caps=_same(old.caps, new.caps)), kept


def _controller(old: ControllerSettings, new: ControllerSettings) -> tuple[ControllerSettings, list[str]]:
    kept = [f"controller.{name}" for name in FIXED_OF_CONTROLLER if getattr(old, name) != getattr(new, name)]
    return replace(new, **{name: getattr(old, name) for name in FIXED_OF_CONTROLLER}), kept


def _pools(old: Mapping[str, Pool], new: Mapping[str, Pool]) -> tuple[dict[str, Pool], list[str]]:
    """A pool stays as it was when it is to serve another model: its replicas would refuse every request."""
    found, kept = dict(new), []
    for name, pool in new.items():
        before = old.get(name)
        if before is not None and before.model != pool.model:
            found[name] = before
            kept.append(f"pools.{name}.model")
    return found, kept


def _same(old: V, new: V) -> V:
    """The old object where the two are equal."""
    return old if old == new else new


def _shared(old: Mapping[str, V], new: Mapping[str, V]) -> Mapping[str, V]:
    """The new mapping with the old objects for what has not changed; the old one when nothing has."""
    if list(old) == list(new) and all(old[name] == value for name, value in new.items()):
        return old
    return {name: old[name] if name in old and old[name] == value else value for name, value in new.items()}


def _changes(old: Settings, new: Settings) -> list[str]:
    """The places that differ."""
    found = [name for name in _PLAIN if getattr(old, name) != getattr(new, name)]
    for section in ("gateway", "controller"):
        before, after = getattr(old, section), getattr(new, section)
        names = [field.name for field in fields(before)]
        found += [f"{section}.{name}" for name in names if getattr(before, name) != getattr(after, name)]
    for table in _TABLES:
        before, after = getattr(old, table), getattr(new, table)
        names = [*before, *(name for name in after if name not in before)]
        found += [f"{table}.{name}" for name in names if before.get(name) != after.get(name)]
    return found
