"""A greedy stream of the real vLLM whose engine is killed goes on at another one and says the same."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import openai
import psutil
import pytest

from tests.contract.engines import VLLM_PYTHON, running_contract_server
from tests.engine_sim.sim_servers import Server
from tests.faults.gateway_process import POOL, GatewayProcess, Setup, start

TOKENS = 300
KILLED_AFTER = 40  # chunks
WORDS = list(range(260, 340))  # random weights would say broken UTF-8 all the time, which engines hold back
PROMPT = "The gateway answers every request, and nobody waits."


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two real servers of the same random weights, started side by side."""
    assert VLLM_PYTHON.exists(), "run `make vllm-env` first"
    folders = [tmp_path_factory.mktemp(f"vllm{number}") for number in range(2)]
    with ExitStack() as stack, ThreadPoolExecutor(2) as threads:
        managers = [running_contract_server("vllm", folder) for folder in folders]
        starting = [threads.submit(stack.enter_context, manager) for manager in managers]
        yield [server.result() for server in starting]


@pytest.fixture(scope="module")
def gateway(engines: list[Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that may resume, on both."""
    patient = {"connect_s": 1.0, "ttft_s": 60.0, "idle_s": 30.0, "total_s": 120.0}
    setup = Setup(
        engines=[engine.url for engine in engines], changes={"gateway": {"resume": True, "timeouts": patient}}
    )
    process = start(tmp_path_factory.mktemp("gateway"), setup, "none")
    try:
        asyncio.run(process.ready())
        yield process
    finally:
        process.stop()


def _client(gateway: GatewayProcess) -> openai.OpenAI:
    url = f"http://127.0.0.1:{gateway.port}/v1"
    return openai.OpenAI(base_url=url, api_key=gateway.key, max_retries=0, timeout=100.0)


def _said(gateway: GatewayProcess, kill: list[Server]) -> tuple[str, tuple[int, int]]:
    """The text of one greedy stream and its token counts; whoever serves it is killed after some chunks."""
    text, counts, answer_id = "", (0, 0), ""
    with _client(gateway) as client:
        stream = client.chat.completions.create(
            model=POOL,
            messages=[{"role": "user", "content": PROMPT}],
            temperature=0,
            max_tokens=TOKENS,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"ignore_eos": True, "allowed_token_ids": WORDS},
        )
        for number, chunk in enumerate(stream):
            assert answer_id in ("", chunk.id)
            answer_id = chunk.id
            if chunk.usage is not None:
                counts = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
            if number == KILLED_AFTER:
                for server in kill:
                    if server.metric("vllm:num_requests_running") > 0:
                        for process in psutil.Process(server.process.pid).children(recursive=True):
                            process.kill()  # its engine core would go on without it
                        server.process.kill()
    return text, counts


def _newest_row(database: Path) -> tuple[int, int, int, list[dict[str, object]]]:
    """(status, input tokens, output tokens, tries)."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        row = connection.execute(
            "SELECT status, input_tokens, output_tokens, attempts FROM ledger ORDER BY at_s DESC LIMIT 1"
        ).fetchone()
    return row[0], row[1], row[2], json.loads(row[3])


@pytest.mark.vllm
@pytest.mark.timeout(500)
def test_a_killed_engine_is_not_heard(gateway: GatewayProcess, engines: list[Server]) -> None:
    """The same text, the same count, one answer and one row with both tries."""
    whole, counted = _said(gateway, kill=[])
    resumed, counted_again = _said(gateway, kill=engines)
    assert sum(engine.process.poll() is not None for engine in engines) == 1
    assert resumed == whole
    assert counted[1] == TOKENS
    assert counted_again == counted
    asyncio.run(asyncio.sleep(0.2))  # the ledger writes in groups
    status, input_tokens, output_tokens, attempts = _newest_row(gateway.database)
    assert (status, input_tokens, output_tokens) == (200, *counted)
    assert len({attempt["replica_id"] for attempt in attempts}) == 2
    assert str(attempts[0]["outcome"]).startswith("resumed elsewhere")
