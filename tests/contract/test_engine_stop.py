"""Both servers, started as the product starts them, are asked to stop in the middle of an answer."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.contract.engines import running_contract_server
from tests.engine_sim.sim_servers import raw_chat

TOKENS = 400  # seconds of answering, and well under the 30 s of a drain on a machine that gives 25 tokens a second


@pytest.mark.parametrize("kind", ["sim", pytest.param("vllm", marks=[pytest.mark.vllm, pytest.mark.timeout(400)])])
def test_a_stream_under_way_ends_whole(kind: str, tmp_path: Path) -> None:
    """Every token and the end marker come after SIGTERM; then the process ends by itself."""
    with running_contract_server(kind, tmp_path) as server:
        connection = raw_chat(
            server, stream=True, tokens=TOKENS, model=server.model, stream_options={"include_usage": True}
        )
        data = connection.recv(4096)
        assert b"[DONE]" not in data
        server.process.send_signal(signal.SIGTERM)
        while part := connection.recv(65536):
            data += part
        connection.close()
        assert b"[DONE]" in data
        assert f'"completion_tokens":{TOKENS}'.encode() in data
        assert b'"finish_reason":"length"' in data
        server.process.wait(30)
