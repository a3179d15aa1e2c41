"""One server of each kind for the whole contract: the real one takes two minutes to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.engines import VLLM_PYTHON, running_contract_server
from tests.engine_sim.sim_servers import Server


@pytest.fixture(
    scope="session",
    params=["sim", pytest.param("vllm", marks=[pytest.mark.vllm, pytest.mark.timeout(400)])],
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The simulated engine, then the real one."""
    assert request.param == "sim" or VLLM_PYTHON.exists(), "run `make vllm-env` first"
    with running_contract_server(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running
