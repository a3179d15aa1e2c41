"""The real vLLM on CPU as an upstream of a world: killed, stopped, told to end; it counts as the stubs do.

Which requests it got and what it said to each stands in its own log: words are numbered by its model
(`counting_model.py`), so the last one's number is the count, over a resumption too.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import psutil

from controller.adapters.engine_commands import Launch, vllm_command
from controller.config.load import load_settings
from controller.core.pools import EngineArgs
from tests.contract.engines import CPU_ARGS, CPU_ENVIRON, READY_DEADLINE_S, REPOSITORY, VLLM_PYTHON
from tests.engine_sim.sim_servers import free_port, is_healthy
from tests.faults.stub import Served

SEATS = 16  # requests that one computes at a time; others wait inside
ENGINE = EngineArgs(max_model_len_tokens=4096, max_num_seqs=SEATS, block_size_tokens=32)
DRAIN_S = 150  # of its own, after a SIGTERM
GONE_S = 15.0
TOLD_S = 1e6  # of two tries of a request the one that answered comes last, whichever log was read first
INPUT_TOKENS = 5  # of every prompt of these rows: four words and the mark after which it answers
ARGS = "--enable-log-requests --enable-log-outputs --no-enable-log-deltas --shutdown-timeout"
ENVIRON = {
    **CPU_ENVIRON,
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "1",  # nobody's connections are closed, as rows count what the gateway holds
    # of two that compute on both cores each spins while it waits for its half, and nobody else gets on
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}
GOT = re.compile(r"Received request (chat)?cmpl-([0-9A-Za-z-]+?)(?:-0)?: params")
SAID = re.compile(
    r"Generated response (?:chat)?cmpl-([0-9A-Za-z-]+?)(?:-0)?(?: \(streaming complete\))?: output: '(.*)', f"
)

GIVES_UP = "stopping engine client mode=abort"  # from here on what it says of an answer is not that it is whole


@dataclass
class RealEngine:
    """One server process on its port, which it keeps when it is started again."""

    name: str
    command: Sequence[str]
    port: int
    log: Path
    calls: list[Served] = field(default_factory=list)
    is_leaving: bool = False
    _process: subprocess.Popen[bytes] | None = None
    _read_bytes: int = 0
    _gives_up: bool = False

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_up(self) -> bool:
        """Whether its health page answers."""
        return self._process is not None and self._process.poll() is None and is_healthy(self.url)

    def start(self) -> None:
        """A new process is on its way up, unless there is one that stays."""
        if self.is_leaving:
            self.stop()
        if self._process is not None and self._process.poll() is None:
            return
        self.is_leaving = self._gives_up = False
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                ["nice", "-n", "5", *self.command],  # elsewhere it has cores of its own
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env={**os.environ, **ENVIRON},
                start_new_session=True,
            )

    def await_up(self) -> None:
        """Returns once it is healthy."""
        assert self._process is not None
        deadline_s = time.monotonic() + READY_DEADLINE_S
        while not self.is_up:
            assert self._process.poll() is None, f"{self.name} ended with {self._process.returncode}: {self._tail()}"
            assert time.monotonic() < deadline_s, f"{self.name} is not up: {self._tail()}"
            time.sleep(0.1)

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def core(self) -> psutil.Process:
        """The process that computes; another one answers HTTP."""
        assert self._process is not None
        children = psutil.Process(self._process.pid).children(recursive=True)
        return next(child for child in children if child.cmdline()[:1] == ["VLLM::EngineCore"])

    def kill(self) -> None:
        """SIGKILL to all of its processes at once."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(GONE_S)

    def terminate(self) -> None:
        """SIGTERM to the server, as a platform that takes the replica away says it."""
        assert self._process is not None
        self._process.terminate()
        self.is_leaving = True

    @property
    def is_gone(self) -> bool:
        """Whether the server process has ended."""
        return self._process is None or self._process.poll() is not None

    def stop(self) -> None:
        """Afterwards none of its processes is left."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(GONE_S)

    def drop_idle(self) -> None:
        """Nothing: it closes idle connections by itself."""

    def note_calls(self) -> None:
        """Afterwards `calls` has all that the log says so far."""
        with self.log.open("rb") as source:
            source.seek(self._read_bytes)
            data = source.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            if got := GOT.search(line):
                self.calls.append(self._served(got[2], "chat/completions" if got[1] else "completions"))
            elif GIVES_UP in line:
                self._gives_up = True
            elif not self._gives_up and (said := SAID.search(line)):
                call = next(call for call in reversed(self.calls) if call.request_id == said[1])
                has_ended(call, int(said[2].rsplit(":", 1)[1]) + 1 if said[2] else 0)

    def _served(self, request_id: str, path: str) -> Served:
        return Served(
            stub=self.name,
            request_id=request_id,
            path=f"/v1/{path}",
            headers={},
            raw=b"",
            body={},
            began_s=time.monotonic(),
            connection=0,
            input_tokens=INPUT_TOKENS,
        )


def has_ended(call: Served, made_tokens: int) -> None:
    """Afterwards this is the try that answered its request, with so many tokens."""
    call.made_tokens, call.told, call.ended_s = made_tokens, True, time.monotonic()
    call.began_s += TOLD_S


@contextlib.contextmanager
def real_engines(folder: Path, marker: str) -> Iterator[list[RealEngine]]:
    """Two servers of the counting model, not yet started: one drains after a SIGTERM, one does not. In the end both
    are gone."""
    assert VLLM_PYTHON.exists(), "run `make vllm-env` first"
    model_dir = folder / f"model-{secrets.token_hex(2)}"
    script = REPOSITORY / "tests" / "faults" / "counting_model.py"
    subprocess.run([VLLM_PYTHON, script, model_dir, marker], check=True, timeout=120, capture_output=True)
    settings = load_settings(None, {}, today=date(2026, 11, 1), state_dir=folder)
    pool = replace(settings.pools["llama-8b"], engine=ENGINE, model_dir=str(model_dir))
    engines = []
    for number, drain_s in enumerate((DRAIN_S, 0), 1):
        launch = Launch(replica_id=f"real-{number}", host="127.0.0.1", port=free_port())
        variables = {"SPILLWAY_VLLM_PYTHON": str(VLLM_PYTHON), "SPILLWAY_VLLM_ARGS": f"{CPU_ARGS} {ARGS} {drain_s}"}
        command = vllm_command(settings, pool, launch, variables, sys.executable)
        engines.append(RealEngine(launch.replica_id, command, launch.port, folder / f"{launch.replica_id}.log"))
    try:
        yield engines
    finally:
        for engine in engines:
            engine.stop()


def all_up(engines: Sequence[RealEngine]) -> None:
    """Afterwards every one of them answers; those that rows have ended are started again, side by side."""
    for engine in engines:
        engine.start()
    with ThreadPoolExecutor(len(engines)) as threads:
        list(threads.map(RealEngine.await_up, engines))
