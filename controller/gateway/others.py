"""What other gateways have under way on a replica, of which nobody tells: what this one had there of late.

Each of several gateways sees its own requests only, a fair part of all. One moment of its own says less of the others
than a mean does, and would spill more for nothing; a longer mean is late to see a step in demand
(tests/gateway/shared_engine_world.py).
"""

from __future__ import annotations

from math import exp, inf

from controller.routing.predict import LoadSums, ReplicaLoad

MEAN_S = 0.5


class Others:
    """Of one replica. Touched only where there is more than one gateway."""

    __slots__ = ("_at_s", "_mean")

    def __init__(self) -> None:
        self._mean = [0.0, 0.0, 0.0, 0.0]
        self._at_s = -inf

    def joined(self, own: LoadSums, others: int, now_s: float) -> ReplicaLoad:
        """The sums of this gateway and of so many others."""
        new = 1.0 - exp(-max(0.0, now_s - self._at_s) / MEAN_S)
        now = (own.in_flight, own.pending_prefill_tokens, own.decoding, own.context_tokens)
        self._mean = [old + new * (one - old) for old, one in zip(self._mean, now, strict=True)]
        self._at_s = now_s
        sums = (round(one + others * mean) for one, mean in zip(now, self._mean, strict=True))
        in_flight, pending, decoding, context = sums
        return ReplicaLoad(
            in_flight=in_flight, pending_prefill_tokens=pending, decoding=decoding, context_tokens=context
        )
