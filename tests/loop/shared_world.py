"""A world of pools that share the eight GPUs of one node."""

from __future__ import annotations

from dataclasses import replace

from loop_values import pool
from loop_world import World

from controller.core.fleet import PoolView
from controller.core.pools import EngineArgs, NodePool, Pool

GPUS = 8


def on_node(name: str, least: int = 0) -> Pool:
    """A pool whose replicas take four of the GPUs each."""
    made = pool(name, min_replicas=least, max_replicas=2, cold_start_s=5.0)
    return replace(made, engine=EngineArgs(tensor_parallel=4), node_pool="p4d")


class SharedWorld(World):
    """A world that says when more GPUs are held than there are."""

    def __init__(self, *pools: Pool) -> None:
        super().__init__(*pools)
        node = NodePool(name="p4d", instance_type="p4d.24xlarge", nodes=1, gpus=GPUS)
        self.settings = replace(self.settings, node_pools={"p4d": node})
        self.new_loop()

    def play(self, seconds: int, **offered: float) -> dict[str, PoolView]:
        """So long; the last views of all pools."""
        for _ in range(seconds):
            self.run(1, **offered)
            held = 4 * sum(1 for one in self.platform.replicas.values() if one.pool in {"a", "b"})
            assert held <= GPUS, self.platform.replicas
        view = self.sink.last()
        assert view is not None
        return dict(view.pools)
