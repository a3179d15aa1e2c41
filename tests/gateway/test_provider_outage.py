"""A provider that is down for five minutes under ten times its load, and then is back: in simulated time."""

from __future__ import annotations

from heapq import heappop, heappush

from controller.core.errors import EngineUnavailable, UpstreamRejected
from controller.core.secret import Secret
from controller.gateway.credentials import Credential, Credentials
from controller.gateway.exchange import Skip
from tests.gateway.gateway_builders import OPENAI

SLOTS, TOOK_S = 20, 0.25
CAPACITY_PER_S = SLOTS / TOOK_S
OFFERED_PER_S = 10 * CAPACITY_PER_S
DOWN_S, BACK_S, END_S = 60.0, 360.0, 420.0


def played() -> tuple[list[float], list[float]]:
    """(when calls went out, when they were answered), with one try at each request's arrival."""
    credentials = Credentials({"openai": (Secret("a"),)})
    under_way: list[tuple[float, int, Credential, bool]] = []
    sent, answered, running = list[float](), list[float](), 0
    for number in range(int(END_S * OFFERED_PER_S)):
        now_s = number / OFFERED_PER_S
        while under_way and under_way[0][0] <= now_s:
            ended_s, _, credential, good = heappop(under_way)
            credential.ended()
            if good:
                running -= 1
                credential.answered(ended_s)
                answered.append(ended_s)
            else:
                credential.failed(EngineUnavailable("refused"), ended_s - 0.001, ended_s)
        found = credentials.pick(OPENAI, 0, now_s)
        if isinstance(found, Skip):
            continue
        found.started(0, now_s)
        sent.append(now_s)
        if DOWN_S <= now_s < BACK_S:
            heappush(under_way, (now_s + 0.001, number, found, False))
        elif running >= SLOTS:
            found.ended()
            found.failed(UpstreamRejected(429, b""), now_s, now_s)
        else:
            running += 1
            heappush(under_way, (now_s + TOOK_S, number, found, True))
    return sent, answered


def between(times_s: list[float], start_s: float, end_s: float) -> int:
    """How many."""
    return sum(start_s <= time_s < end_s for time_s in times_s)


def test_it_heals_within_half_a_minute_without_a_stampede() -> None:
    """Few calls while it is down; in the first ten seconds no more than 1.2 times what it bears; then as before."""
    sent, answered = played()
    before = between(answered, 30.0, DOWN_S) / 30.0
    assert before >= 0.9 * CAPACITY_PER_S
    assert between(sent, 30.0, DOWN_S) <= 1.2 * CAPACITY_PER_S * 30.0
    assert between(sent, DOWN_S + 10.0, BACK_S) <= 0.2 * (BACK_S - DOWN_S)
    healed_s = next(time_s for time_s in answered if time_s >= BACK_S)
    assert healed_s - BACK_S <= 11.0
    for start_s in (BACK_S, healed_s):
        assert between(sent, start_s, start_s + 10.0) <= 1.2 * CAPACITY_PER_S * 10.0
    assert between(answered, BACK_S + 30.0, END_S) / (END_S - BACK_S - 30.0) >= 0.9 * before
