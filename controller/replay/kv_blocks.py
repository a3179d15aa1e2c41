"""The KV cache of one engine in blocks, with vLLM's prefix cache: full prompt blocks are shared by content hash.

A block is private (one request writes it), shared (a cached prompt block some request holds) or idle (cached, held by
nobody, evicted oldest first when room is needed). Only `engine_model` calls this.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class KvBlocks:
    """Counts blocks; holds no content. Invariant: private + shared + idle <= capacity."""

    __slots__ = ("_holders", "_idle", "capacity", "private")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.private = 0
        self._holders: dict[int, int] = {}
        self._idle: dict[int, None] = {}

    @property
    def shared(self) -> int:
        """Cached blocks some request holds."""
        return len(self._holders)

    @property
    def idle(self) -> int:
        """Cached blocks nobody holds."""
        return len(self._idle)

    @property
    def room(self) -> int:
        """Blocks that can become private, by evicting idle ones."""
        return self.capacity - self.private - len(self._holders)

    @property
    def used_ratio(self) -> float:
        """Share of blocks that cannot be evicted, 0..1: what `vllm:kv_cache_usage_perc` shows."""
        return (self.private + len(self._holders)) / self.capacity

    def cached_prefix(self, hashes: Sequence[int], limit: int) -> int:
        """How many leading blocks, at most `limit`, are in the cache."""
        for index, block in enumerate(hashes[:limit]):
            if block not in self._holders and block not in self._idle:
                return index
        return min(len(hashes), limit)

    def hold(self, hashes: Iterable[int]) -> None:
        """Take cached blocks for one more request; they cannot be evicted while held."""
        for block in hashes:
            self._idle.pop(block, None)
            self._holders[block] = self._holders.get(block, 0) + 1

    def release(self, hashes: Iterable[int]) -> None:
        """Give held blocks back; the last holder leaves them idle, the tail of a prefix first to go."""
        for block in hashes:
            left = self._holders[block] - 1
            if left:
                self._holders[block] = left
            else:
                del self._holders[block]
                self._idle[block] = None

    def take_private(self, blocks: int) -> bool:
        """Reserve private blocks, evicting idle ones as needed; False and no change when there is no room."""
        room = self.room
        if blocks > room:
            return False
        for _ in range(blocks - (room - len(self._idle))):
            del self._idle[next(iter(self._idle))]
        self.private += blocks
        return True

    def drop_private(self, blocks: int) -> None:
        """Free private blocks."""
        self.private -= blocks

    def publish(self, block: int) -> bool:
        """Turn one private block into a cached one held by its writer; False when that content is cached already."""
        if block in self._holders or block in self._idle:
            return False
        self.private -= 1
        self._holders[block] = 1
        return True
