"""Which requests leave a pool that spills a share of them: those whose GPU time is bought back at the least price.

The ratio is the controller's and is kept by error diffusion: exactly over each 1,000 requests, and never further off
than a few requests in between. Within that freedom a request leaves when its price is among the lowest of late; one
whose prefix is warm here ranks behind all that are not, so it leaves only where those cannot make up the count.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from controller.core.models import StepTimes
from controller.core.pools import EngineArgs

BLOCK = 1000  # requests over which the count is exact
SLACK = 12  # how many requests the count may be off within a block
LEAD = 5  # it runs this far ahead, so that the end of a block seldom forces an unfit request out
SAMPLE = 256  # prices that say what is low
FRESH = 32  # the sample is sorted anew after so many requests
HORIZON = 64  # a count that is off is made up within about this many requests

Rank = tuple[int, float]  # (warm, price)


def gpu_seconds(steps: StepTimes, engine: EngineArgs, *, input_tokens: int, output_tokens: int) -> float:
    """GPU time that one request takes on a busy replica: its prompt, and its share of each decode step."""
    kilo = input_tokens / 1000.0
    prefill_ms = steps.p1_ms_per_1k * kilo + steps.p2_ms_per_1k_sq * kilo * kilo
    share_ms = steps.alpha_ms / engine.max_num_seqs + steps.beta_ms_per_seq + steps.gamma_ms_per_1k_context * kilo
    return (prefill_ms + output_tokens * steps.correction * share_ms) * engine.tensor_parallel / 1000.0


class SpillGate:
    """Yes or no per request of one pool. `owed` is in thousandths of a request."""

    __slots__ = ("_low", "_owed", "_position", "_recent", "_sorted")

    def __init__(self) -> None:
        self._owed = 0
        self._position = 0
        self._recent: list[Rank] = []
        self._sorted: list[Rank] = []
        self._low = 0

    def take(self, ratio: float, price: float = 0.0, *, warm: bool = False) -> bool:
        """Whether this request is one of those that leave. `price`: external cost per GPU-second it would take here."""
        rank = (1, price) if warm else (0, price)
        self._note(rank)
        share = round(ratio * BLOCK)
        self._owed += share
        self._position = (self._position + 1) % BLOCK
        left = (BLOCK - self._position) % BLOCK
        leaves = self._leaves(rank, share, left)
        if leaves:
            self._owed -= BLOCK
        return leaves

    def _leaves(self, rank: Rank, share: int, left: int) -> bool:
        """`left` requests follow in this block; what is owed at its end must be less than one."""
        owed = self._owed
        at_end = owed + share * left  # owed once the block is over, if none leaves from here on
        if at_end < BLOCK or owed < BLOCK - SLACK * BLOCK:
            return False
        if at_end >= BLOCK * (left + 1) or owed >= SLACK * BLOCK:
            return True
        lead = min(LEAD * BLOCK, share * left // 2)
        wanted_ratio = (share + (owed - share + lead) / min(left, HORIZON)) / BLOCK
        return self._is_low(rank, wanted_ratio)

    def _is_low(self, rank: Rank, wanted_ratio: float) -> bool:
        """Whether it is within the lowest share of the sample; of equal ones so many as are owed."""
        size = len(self._sorted)
        below, up_to = bisect_left(self._sorted, rank), bisect_right(self._sorted, rank)
        if up_to <= wanted_ratio * size and up_to < size:
            return True
        return below < wanted_ratio * size and self._owed >= BLOCK

    def _note(self, rank: Rank) -> None:
        """The sample with one more."""
        recent = self._recent
        if len(recent) < SAMPLE:
            recent.append(rank)
        else:
            recent[self._low] = rank
            self._low = (self._low + 1) % SAMPLE
        if self._position % FRESH == 0 or len(recent) < FRESH:
            self._sorted = sorted(recent)
