"""What a controller leaves its successor beside the published view, as bytes. Pure.

Kept are each pool's ledgers, experts and trend, its changes of the last hour, starts that were refused or did not come,
what was asked of it, and how shared nodes are split. Not kept is when replicas were last needed: a controller that has
just begun takes all there are as needed now, and nothing away for a cooldown. Providers that are out are seen again in
seconds. What is damaged, of another version or of long ago is refused whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from zlib import crc32

import orjson
from pydantic import TypeAdapter, ValidationError

from controller.autoscale.decide import ScaleState
from controller.autoscale.experts import PATIENCES
from controller.autoscale.ledgers import Patience
from controller.autoscale.limits import Actions
from controller.autoscale.market import TICK_MAX_S
from controller.autoscale.shared_nodes import SharedState
from controller.autoscale.trend import Trend
from controller.core.errors import SpillwayError
from controller.core.fleet import PoolView
from controller.loop.plan import ALIVE, PoolState, restored
from controller.loop.prices import Asked
from controller.loop.shortage import Shortage

MEANING = 1  # one more when fields come to mean something else; that their shape changes is seen without
LONGEST_S = 3600.0  # demand of longer ago says little of that to come, and the changes of the last hour are over
AHEAD_S = 60.0  # written later than now by so much: the clock has been set, and no time in it means anything


class MemoryRefused(SpillwayError):
    """What was kept is not to be used; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMemory:
    """What is kept of one pool."""

    scale: ScaleState
    actions: Actions
    shortage: Shortage | None = None
    deaths: int = 0
    died_at_s: float = 0.0
    may_start_at_s: float = 0.0
    refusals: int = 0
    asked: Asked | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """All of it. `patiences`: those of the experts, who are of no use to a controller with others."""

    at_s: float
    pools: Mapping[str, PoolMemory] = field(default_factory=dict)
    nodes: Mapping[str, SharedState] = field(default_factory=dict)
    patiences: tuple[Patience, ...] = PATIENCES


def pool_memory(state: PoolState, asked: Asked | None) -> PoolMemory:
    """What is worth keeping of a pool."""
    return PoolMemory(
        scale=state.scale,
        actions=state.actions,
        shortage=state.shortage,
        deaths=state.deaths,
        died_at_s=state.died_at_s,
        may_start_at_s=state.may_start_at_s,
        refusals=state.refusals,
        asked=asked,
    )


def encoded(memory: Memory) -> bytes:
    """One line that says the version and the checksum of what follows."""
    body = orjson.dumps(memory)
    return f"spillway-memory {version()} {crc32(body):08x}\n".encode() + body


def decoded(data: bytes, now_s: float) -> Memory:
    """What was kept; MemoryRefused when it must not be used."""
    head, _, body = data.partition(b"\n")
    match head.split(b" "):
        case [b"spillway-memory", found, checksum]:
            if found != version().encode():
                raise MemoryRefused(f"it is of version {found.decode('latin-1')!a}, this controller's is {version()}")
            if checksum != f"{crc32(body):08x}".encode():
                raise MemoryRefused("it is damaged: its checksum is another one")
        case _:
            raise MemoryRefused("it does not begin as what a controller keeps")
    try:
        memory = _adapter().validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise MemoryRefused(f"it is not what a controller keeps: {where}: {first['msg']}") from error
    if memory.patiences != PATIENCES:
        raise MemoryRefused("its experts have other patiences than this controller's")
    if not -AHEAD_S <= now_s - memory.at_s <= LONGEST_S:
        raise MemoryRefused(
            f"it was written {now_s - memory.at_s:.0f} s ago, allowed are {-AHEAD_S:.0f} to {LONGEST_S:.0f}"
        )
    return memory


@cache
def _adapter() -> TypeAdapter[Memory]:
    return TypeAdapter(Memory)


@cache
def version(kind: type = Memory) -> str:
    """What the fields mean, and which there are, down to the innermost."""
    shape = orjson.dumps(TypeAdapter(kind).json_schema(), option=orjson.OPT_SORT_KEYS)
    return f"{MEANING}.{crc32(shape):08x}"


def resumed(view: PoolView | None, kept: PoolMemory | None, gap_s: float, now_s: float) -> PoolState:
    """The state of a new controller by the last view of its predecessor and what that kept so long ago.

    It may start with fewer changes left in this hour than a fresh one, never with fewer replicas: what was last wished
    and allowed is at least what was last seen alive, and the first cooldown begins anew.
    """
    state = restored(view)
    if kept is None:
        return state
    alive = None if view is None else sum(1 for one in view.replicas if one.state in ALIVE)
    market = kept.scale.market
    if market is not None:
        market = replace(market, since_s=now_s, trend=market.trend if gap_s <= TICK_MAX_S else Trend())
    scale = replace(
        kept.scale,
        needed_at_s=None,
        stuck_since_s=None,
        replicas=_at_least(alive, kept.scale.replicas),
        market=market,
    )
    return replace(
        state,
        scale=scale,
        actions=replace(kept.actions, replicas=_at_least(alive, kept.actions.replicas)),
        shortage=kept.shortage,
        deaths=kept.deaths,
        died_at_s=kept.died_at_s,
        may_start_at_s=kept.may_start_at_s,
        refusals=kept.refusals,
    )


def _at_least(alive: int | None, kept: int | None) -> int | None:
    return None if alive is None or kept is None else max(alive, kept)
