"""The simulated engine against the real vLLM under one load, with step times fitted to one half of what vLLM did."""

from __future__ import annotations

import json
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from scipy.optimize import minimize

from controller.core.models import StepTimes
from controller.replay.calibration import ObservedRequest, play
from tests.contract.engines import ENGINE, running_contract_server
from tests.engine_sim.sim_servers import Server

COUNT, EVERY_S = 60, 0.1
OUTPUT = (20, 160)
PROMPT_WORDS = (20, 400)
FRONT_END_S = 0.02  # 15 to 30 ms by the measured points in controller/replay/data
START = StepTimes(
    alpha_ms=10.0,
    beta_ms_per_seq=0.1,
    gamma_ms_per_1k_context=0.0,
    correction=1.0,
    p0_ms=10.0,
    p1_ms_per_1k=100.0,
    p2_ms_per_1k_sq=0.0,
    kv_cache_tokens=1 << 20,
)


def _with(a_step_ms: float, a_token_ms: float) -> StepTimes:
    """A step costs so much, and each token in it so much, of a prompt or of an answer."""
    return replace(
        START, alpha_ms=a_step_ms, p0_ms=a_step_ms, beta_ms_per_seq=a_token_ms, p1_ms_per_1k=1000 * a_token_ms
    )


def _call(server: Server, prompt: str, tokens: int, zero_s: float) -> ObservedRequest:
    """One streamed completion and its times since `zero_s`."""
    body = {"model": server.model, "prompt": prompt, "max_tokens": tokens, "ignore_eos": True, "stream": True}
    request = urllib.request.Request(
        server.url + "/v1/completions",
        json.dumps({**body, "stream_options": {"include_usage": True}}).encode(),
        {"content-type": "application/json"},
    )
    sent_s = time.monotonic() - zero_s
    times_s, usage = [], {}
    with urllib.request.urlopen(request, timeout=60) as answer:
        for line in answer:
            if line.startswith(b"data: {"):
                event = json.loads(line[6:])
                usage = event.get("usage") or usage
                if event["choices"]:
                    times_s.append(time.monotonic() - zero_s)
    return ObservedRequest(
        arrival_s=sent_s,
        input_tokens=usage["prompt_tokens"],
        output_tokens=usage["completion_tokens"],
        first_token_s=times_s[0],
        last_token_s=times_s[-1],
    )


def _measure(server: Server, prompts: list[str]) -> list[ObservedRequest]:
    """What became of the load: requests at a steady pace, with answers of lengths that a seed gives."""
    lengths = np.random.default_rng(7).integers(*OUTPUT, COUNT)
    zero_s = time.monotonic()
    with ThreadPoolExecutor(COUNT) as pool:
        calls = []
        for at, prompt in enumerate(prompts):
            time.sleep(max(0.0, zero_s + at * EVERY_S - time.monotonic()))
            calls.append(pool.submit(_call, server, prompt, int(lengths[at]), zero_s))
        return [call.result(60) for call in calls]


def _fit(observed: list[ObservedRequest]) -> StepTimes:
    """The two constants, from the requests with even numbers."""

    def error(logs: np.ndarray) -> float:
        played = play(observed, _with(*np.exp(logs)), ENGINE).requests[::2]
        pairs = list(zip(played, observed[::2], strict=True))
        ttft = [np.log(mine.ttft_s / real.ttft_s) ** 2 for mine, real in pairs]
        e2e = [np.log(mine.e2e_s / real.e2e_s) ** 2 for mine, real in pairs]
        return float(np.mean(ttft) + 4 * np.mean(e2e))

    found = minimize(error, np.log([10.0, 0.1]), method="Nelder-Mead", options={"maxfev": 120})
    return _with(*np.exp(found.x))


@pytest.mark.vllm
@pytest.mark.timeout(500)
def test_the_simulated_engine_keeps_the_times_of_the_real_one(tmp_path: Path) -> None:
    """Two constants, fitted to every other request: the simulated server, over HTTP and in real time, gives the others
    the mean TTFT, TPOT and E2E latency that the real one gave them, within a quarter. TTFT may also differ by what the
    real server's front end takes, which is no part of the model and outweighs a step of this tiny one.
    """
    words = np.random.default_rng(8).integers(*PROMPT_WORDS, COUNT)
    prompts = [f"{at} " + "the queue " * (int(count) // 2) for at, count in enumerate(words)]
    with running_contract_server("vllm", tmp_path) as server:
        _measure(server, [f"first {prompt}" for prompt in prompts])  # fills what a server compiles and caches at first
        real = _measure(server, prompts)
    steps = _fit(real)
    alike = [f"{at:<4}" + "x" * (4 * request.input_tokens - 4) for at, request in enumerate(real)]  # four bytes a token
    with running_contract_server("sim", tmp_path, steps) as server:
        simulated = _measure(server, alike)
    assert [r.input_tokens for r in simulated] == [r.input_tokens for r in real]
    figures = {
        name: tuple(fmean(getattr(r, name) for r in run[1::2]) for run in (simulated, real))
        for name in ("ttft_s", "tpot_s", "e2e_s")
    }
    print({name: f"{mine / theirs - 1:+.1%}" for name, (mine, theirs) in figures.items()}, steps)  # noqa: T201
    for name, (mine, theirs) in figures.items():
        room_s = FRONT_END_S if name == "ttft_s" else 0.0
        assert mine == pytest.approx(theirs, rel=0.25, abs=room_s), (figures, steps)
