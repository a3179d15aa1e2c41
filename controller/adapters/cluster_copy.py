"""What a gateway last knew of the cluster, as one file of its state folder: `run/cluster.json`, swapped whole.

A gateway that starts again while the Kubernetes API is away goes on from it. Written only when something has changed
that requests go by, and by a thread, since it may be a megabyte.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson
import structlog

from controller.adapters.kubernetes_kinds import Json

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Objects of the cluster as of then. `good`: of pools whose spec was refused, as it was accepted last."""

    at_s: float
    namespace: str
    pools: tuple[Json, ...]
    pods: tuple[Json, ...]
    good: tuple[Json, ...] = ()

    def accepted(self, present: Iterable[Json]) -> dict[str, Json]:
        """By name, the pools that are `present` still as this gateway went by them then."""
        uids = {item["metadata"]["name"]: item["metadata"].get("uid") for item in present}
        found = {str(item["metadata"]["name"]): item for item in (*self.pools, *self.good)}
        return {
            name: item for name, item in found.items() if name in uids and item["metadata"].get("uid") == uids[name]
        }


class ClusterCopy:
    """One per state folder."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "run" / "cluster.json"

    def keep(self, known: Known) -> None:
        """Afterwards it is there for the next start; a folder that cannot be written is only said to be."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft = self.path.with_suffix(".json.tmp")
            draft.write_bytes(orjson.dumps(known))
            draft.replace(self.path)
        except OSError as error:
            log.warning("cluster_copy_not_kept", path=str(self.path), error=str(error))

    def last(self, namespace: str) -> Known | None:
        """What was kept of this namespace; None when there is nothing that can be used."""
        try:
            raw = orjson.loads(self.path.read_bytes())
            known = Known(
                at_s=float(raw["at_s"]),
                namespace=str(raw["namespace"]),
                pools=_named(raw["pools"]),
                pods=_named(raw["pods"]),
                good=_named(raw.get("good") or ()),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("cluster_copy_unreadable", path=str(self.path), error=str(error))
            return None
        return known if known.namespace == namespace else None


def _named(items: Iterable[Json]) -> tuple[Json, ...]:
    """The objects; KeyError or TypeError when one has no name."""
    return tuple(item for item in items if str(item["metadata"]["name"]))
