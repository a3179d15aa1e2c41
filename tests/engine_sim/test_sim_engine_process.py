"""The simulated engine as a process: timing, counts, failures, callers that leave."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.engine_sim.sim_servers import (
    Server,
    eventually,
    is_healthy,
    raw_chat,
    running_engine,
)

ASK = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def fast() -> Iterator[Server]:
    """A replica that runs twenty times as fast as the GPU."""
    with running_engine("--speed", "20") as server:
        yield server


@pytest.fixture
def faulty(fast: Server) -> Iterator[Server]:
    """The same replica, with its failure switch turned off afterwards."""
    yield fast
    fast.faults(mode="none")


def _read(connection: socket.socket) -> tuple[bytes, str]:
    """What comes, and how it ends: done, cut or silent."""
    data = b""
    try:
        while part := connection.recv(65536):
            data += part
    except TimeoutError:
        return data, "silent"
    except ConnectionError:
        return data, "cut"
    return data, "done" if b"[DONE]" in data else "cut"


def test_the_same_prompt_and_seed_give_the_same_answer(fast: Server) -> None:
    """Answers are deterministic, and another seed gives another one."""
    answers = [
        fast.client().chat.completions.create(model=fast.model, messages=ASK, seed=seed).choices[0].message.content
        for seed in (1, 1, 2)
    ]
    assert answers[0] == answers[1] != answers[2]


def test_everything_is_labelled_as_simulated(fast: Server) -> None:
    """Header and fingerprint say so."""
    raw = fast.client().chat.completions.with_raw_response.create(model=fast.model, messages=ASK, max_tokens=2)
    assert raw.headers["x-spillway-simulated"] == "true"
    assert raw.parse().system_fingerprint == "simulated"


def test_a_repeated_long_prompt_hits_the_prefix_cache(fast: Server) -> None:
    """The second request reports cached tokens in usage and metrics; another salt does not share them."""
    long = [{"role": "user", "content": "All work and no play. " * 100}]

    def cached(**extra: object) -> int:
        usage = (
            fast.client().chat.completions.create(model=fast.model, messages=long, max_tokens=2, extra_body=extra).usage
        )  # type: ignore[call-overload]
        return int(usage.prompt_tokens_details.cached_tokens)

    assert cached() == 0
    assert cached() >= 512
    assert cached(cache_salt="other") == 0
    assert fast.metric("vllm:prefix_cache_hits_total") >= 512


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_a_caller_who_leaves_frees_the_engine_within_a_second(fast: Server, stream: bool) -> None:
    """The sequence is aborted and its blocks are free."""
    connection = raw_chat(fast, stream=stream)
    eventually(lambda: fast.metric("vllm:num_requests_running") == 1, within_s=3)
    connection.close()
    eventually(lambda: fast.metric("vllm:num_requests_running") == 0, within_s=1)
    assert fast.metric("vllm:kv_cache_usage_perc") == 0


def test_its_own_counts_equal_what_callers_were_told(tmp_path: Path) -> None:
    """Usage file, /sim/usage and the answers agree to the token after 30 parallel requests."""
    usage_file = tmp_path / "usage.json"
    told = []
    with running_engine("--speed", "20", "--usage-file", str(usage_file)) as server:

        def ask(number: int) -> None:
            messages = [{"role": "user", "content": f"Number {number} " * (number + 1)}]
            answer = server.client().chat.completions.create(model=server.model, messages=messages)  # type: ignore[arg-type]
            told.append(answer.usage)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        own = json.loads(server.get("/sim/usage"))["models"][server.model]
    written = json.loads(usage_file.read_text())["models"]["llama-3.1-8b-instruct"]
    assert own == written
    assert own["requests"] == len(told) == 30
    assert own["input_tokens"] == sum(usage.prompt_tokens for usage in told if usage)
    assert own["output_tokens"] == sum(usage.completion_tokens for usage in told if usage)
    assert own["cut"] == 0


def test_time_follows_the_step_times() -> None:
    """100 tokens of one stream on an A10G take about 3.2 s; at speed 4 a quarter of it."""
    with running_engine("--speed", "4") as server:
        begun_s = time.monotonic()
        server.client().chat.completions.create(
            model=server.model, messages=ASK, max_tokens=100, extra_body={"ignore_eos": True}
        )  # type: ignore[call-overload]
        assert 0.7 < time.monotonic() - begun_s < 1.6


def test_more_sequences_than_slots_wait(tmp_path: Path) -> None:
    """With two slots, five streams show as two running and three waiting."""
    del tmp_path
    with running_engine("--max-num-seqs", "2") as server:
        connections = [raw_chat(server, stream=True) for _ in range(5)]
        eventually(lambda: server.metric("vllm:num_requests_waiting") == 3, within_s=3)
        assert server.metric("vllm:num_requests_running") == 2
        assert json.loads(server.get("/load"))["server_load"] == 5
        for connection in connections:
            connection.close()
        eventually(lambda: json.loads(server.get("/load"))["server_load"] == 0, within_s=2)


def test_an_error_switch_answers_with_that_status_and_retry_after(faulty: Server) -> None:
    """429 with Retry-After once, then as before."""
    faulty.faults(mode="error", status=429, retry_after_s=2, count=1)
    with pytest.raises(openai.RateLimitError) as refused:
        faulty.client().chat.completions.create(model=faulty.model, messages=ASK, max_tokens=1)
    assert refused.value.response.headers["retry-after"] == "2"
    assert faulty.client().chat.completions.create(model=faulty.model, messages=ASK, max_tokens=1)


def test_a_reset_cuts_the_connection(faulty: Server) -> None:
    """Before the first byte the caller sees a connection error; in a stream the tokens so far and then the cut."""
    faulty.faults(mode="reset")
    with pytest.raises(openai.APIConnectionError):
        faulty.client().chat.completions.create(model=faulty.model, messages=ASK, max_tokens=5)
    faulty.faults(mode="reset", after_tokens=3)
    connection = raw_chat(faulty, stream=True)
    data, how = _read(connection)
    connection.close()
    assert how == "cut"
    assert b"[DONE]" not in data
    assert data.count(b'"delta":{"content"') >= 3
    eventually(lambda: faulty.metric("vllm:num_requests_running") == 0, within_s=1)


@pytest.mark.parametrize(("mode", "tokens"), [("stall", 2), ("hang", 0)])
def test_a_silent_engine_stays_healthy(faulty: Server, mode: str, tokens: int) -> None:
    """A stalled stream gives its first tokens and no more, a hung engine none; /health answers 200 all the while."""
    faulty.faults(mode=mode, after_tokens=tokens)
    connection = raw_chat(faulty, stream=True)
    connection.settimeout(0.6)
    data, how = _read(connection)
    assert how == "silent"
    assert (data.count(b'"delta":{"content"') >= 2) is (tokens > 0)
    assert b"[DONE]" not in data
    assert is_healthy(faulty.url)
    connection.close()
    faulty.faults(mode="none")
    eventually(lambda: faulty.metric("vllm:num_requests_running") == 0, within_s=2)


def test_slow_takes_as_many_times_as_long(faulty: Server) -> None:
    """Factor 20 undoes the speed of 20."""
    faulty.faults(mode="slow", factor=20)
    begun_s = time.monotonic()
    faulty.client().chat.completions.create(model=faulty.model, messages=ASK, max_tokens=10)
    assert time.monotonic() - begun_s > 0.25


@pytest.mark.parametrize(
    "switch",
    [{"mode": "explode"}, {"mode": "error", "status": 200}, {"factor": 0}, {"after_tokens": -1}, {"count": "x"}],
    ids=lambda switch: next(iter(switch)),
)
def test_a_wrong_switch_is_refused(fast: Server, switch: dict[str, object]) -> None:
    """The message names the allowed values."""
    status, _, body = fast.post("/sim/faults", switch)
    assert status == 400
    assert "allowed" in body
