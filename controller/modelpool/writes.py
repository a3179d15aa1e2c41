"""When a status is worth a call to the API: at once for what is acted on, later for words and figures.

Making a status costs more than a tick decides in: where nothing that is written at once can have changed, that is left
for some seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from controller.core.fleet import PoolView
from controller.modelpool.findings import spill_percent
from controller.modelpool.objects import Json, entries, number, part
from controller.modelpool.status import saturation_percent

LOOK_EVERY_S = 5.0  # at the words of a pool of which nothing else has changed
WORDS_EVERY_S = 15.0
SHARE_EVERY_S = 10.0  # for a share that moved by less than SHARE_POINTS: gateways send away by themselves what is late
SHARE_POINTS = 5
FIGURES_EVERY_S = 300.0  # words that differ by their figures alone: an idle pool is not written each tick
_AT_ONCE = ("observedGeneration", "selector", "replicas", "coldStartSeconds", "saturationPercent", "pin")
_FIGURES = re.compile(r"[0-9][0-9.,:]*")


def seen_at_once(view: PoolView | None) -> tuple[object, ...]:
    """What of a view goes into what is written at once; where it is as it was, at most words and figures differ."""
    if view is None:
        return ()
    return (
        [(one.replica_id, one.state, one.url, one.reason) for one in view.replicas],
        view.mode,
        spill_percent(view),
        view.desired_replicas,
        view.wanted_replicas,
        view.missing_replicas,
        view.cold_starts_s,
        saturation_percent(view.saturation_ratio, None),
    )


def needs_write(previous: Json | None, following: Json, *, written_at_s: float, now_s: float) -> bool:
    """Whether `following` is to be written over `previous`, which this process wrote at `written_at_s`."""
    if previous is None or _urgent(previous) != _urgent(following):
        return True
    waited_s = abs(now_s - written_at_s)
    moved = _moved(_share(previous), _share(following))
    if moved >= SHARE_POINTS or (moved and waited_s >= SHARE_EVERY_S):
        return True
    if waited_s < WORDS_EVERY_S or dict(previous) == dict(following):
        return False
    return waited_s >= FIGURES_EVERY_S or _without_figures(previous) != _without_figures(following)


def _share(status: Json) -> int:
    return number(part(status, "routing"), "spillPercent") or 0


def _moved(before: int, after: int) -> int:
    """By how many points; to and from nothing and everything by as many as can be."""
    if before != after and {before, after} & {0, 100}:
        return 100
    return abs(after - before)


def _urgent(status: Json) -> list[object]:
    """What is written at once."""
    routing, decision = part(status, "routing"), part(status, "lastDecision")
    conditions = [
        tuple(one.get(name) for name in ("type", "status", "reason", "observedGeneration"))
        for one in entries(status, "conditions")
        if isinstance(one, Mapping)
    ]
    return [
        *(status.get(name) for name in _AT_ONCE),
        routing.get("mode"),
        decision.get("final"),
        conditions,
    ]


def _without_figures(value: object) -> object:
    """The value with each figure in its texts as one sign."""
    if isinstance(value, str):
        return _FIGURES.sub("#", value)
    if isinstance(value, Mapping):
        return {name: _without_figures(one) for name, one in value.items()}
    return [_without_figures(one) for one in value] if isinstance(value, list | tuple) else value
