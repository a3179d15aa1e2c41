"""Recorded traffic is played at its own times and summed up from what really came back."""

from __future__ import annotations

import asyncio

import pytest

from controller.adapters.local_http import Answer
from controller.cli.traffic import Ask, Played, Player, body_of, quantile, summarise
from controller.engine_sim.asks import read_chat
from controller.replay.traces import TraceRequest


def _answer(**changes: object) -> Answer:
    fields: dict[str, object] = {
        "status": 200, "ttft_s": 0.1, "e2e_s": 0.5, "complete": True, "input_tokens": 10, "output_tokens": 5,
        "headers": {"x-spillway-target": "llama-8b"}, "error": None,
    }  # fmt: skip
    return Answer(**{**fields, **changes})  # type: ignore[arg-type]


def _ask(at_s: float, tokens: int = 10) -> Ask:
    return Ask(row=TraceRequest(arrival_s=at_s, input_tokens=tokens, output_tokens=3), model="llama-8b")


class Echo:
    """Answers each request after a moment."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self.bodies: list[dict[str, object]] = []

    async def stream(self, body: dict[str, object]) -> Answer:
        """One whole answer."""
        self.bodies.append(body)
        await asyncio.sleep(self._delay_s)
        return _answer()


@pytest.mark.parametrize("tokens", [1, 40, 500, 7_433])
def test_prompts_have_the_recorded_length(tokens: int) -> None:
    """What an engine counts is within two tokens of the recording, above the template's own eight or so."""
    counted = read_chat(body_of(3, _ask(0.0, tokens))).prompts[0].tokens
    assert abs(counted - max(tokens, 9)) <= 2


def test_prompts_never_share_a_prefix() -> None:
    """Every prompt begins with its number, so that no cache shortens the work."""
    first, second = (str(body_of(number, _ask(0.0))["messages"])[:60] for number in (1, 2))
    assert first != second


def test_requests_are_sent_at_their_times_without_waiting_for_answers() -> None:
    """Three requests 50 ms apart are all sent before the first slow answer ends; speed divides the times."""
    client = Echo(0.3)
    player = Player(client, [_ask(0.0), _ask(0.5), _ask(1.0)], speed=10.0)
    asyncio.run(player.run())
    sent = [one.sent_after_s for one in player.played]
    assert [round(at_s, 2) for at_s in sent] == pytest.approx([0.0, 0.05, 0.10], abs=0.04)
    assert player.open == 0
    assert all(one.ended_after_s > 0.3 for one in player.played)


def test_a_stopped_player_finishes_what_is_open() -> None:
    """After `stop` nothing more is sent, and what was sent is awaited."""

    async def scene() -> Player:
        player = Player(Echo(0.1), [_ask(0.0), _ask(60.0)])
        running = asyncio.create_task(player.run())
        await asyncio.sleep(0.05)
        player.stop()
        await asyncio.wait_for(running, 1.0)
        return player

    player = asyncio.run(scene())
    assert player.sent == len(player.played) == 1


def test_a_summary_counts_answers_spills_and_failures() -> None:
    """Percentiles are of whole answers; failures are grouped by what was said."""
    answers = [
        _answer(ttft_s=0.1 * number, headers={"x-spillway-target": "groq", "x-spillway-spilled": "saturated"})
        for number in range(1, 5)
    ]
    answers += [_answer(), _answer(status=429, complete=False, error="full", headers={})]
    summary = summarise([Played(sent_after_s=0.0, ended_after_s=1.0, answer=answer) for answer in answers])
    assert (summary.sent, summary.answered, summary.spilled, summary.failed) == (6, 5, 4, 1)
    assert summary.by_target == {"groq": 4, "llama-8b": 1}
    assert summary.errors == {"429: full": 1}
    assert summary.ttft_p95_s == pytest.approx(0.4)
    assert summary.output_tokens == 25


def test_quantiles_are_values_that_occurred() -> None:
    """The smallest value that the share does not pass; None of nothing."""
    assert quantile([], 0.5) is None
    assert quantile([3.0], 0.99) == 3.0
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.95) == 4.0
