"""A controller on Kubernetes as a process of its own, with its own way to the API."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.cluster.apiserver_proxy import ApiserverProxy, apiserver_proxy
from tests.cluster.component import MEMBER_VARIABLE
from tests.cluster.handle import ControlPlane
from tests.e2e.stack import free_ports
from tests.faults.fleet_objects import CONTROLLER
from tests.faults.gateway_process import Document, page

STOP_S = 15.0


@dataclass
class ClusterController:
    """A controller that may be killed, stopped and started again; it keeps its name, its file and its proxy."""

    name: str
    folder: Path
    namespace: str
    port: int
    proxy: ApiserverProxy
    environ: Mapping[str, str]
    wrapper: Sequence[str] = ()
    lives: int = 0
    is_kept: bool = True  # started again when it has ended, as the kubelet does
    _process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def log(self) -> Path:
        """What it has said in all its lives."""
        return self.folder / "controller.log"

    @property
    def pid(self) -> int:
        """Of the present life."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """It runs."""
        assert not self.is_running(), f"{self.name} runs already"
        self.lives += 1
        command = [sys.executable, "-m", "controller.cli.main", "controller", "-c", str(self.folder / "spillway.yaml")]
        command += ["--state-dir", str(self.folder / "state"), "--platform", "kubernetes", "-n", self.namespace]
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                [*self.wrapper, *command], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=dict(self.environ)
            )

    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def code(self) -> int | None:
        """With which it has ended."""
        return None if self._process is None else self._process.poll()

    def kill(self) -> None:
        """It is gone at once; in a moment if the caller is not to wait."""
        if self.is_running():
            self.signal(signal.SIGKILL)
            assert self._process is not None
            self._process.wait(STOP_S)

    def signal(self, number: signal.Signals) -> None:
        """It gets that signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """It has ended, by itself if it does so in time."""
        if not self.is_running():
            return
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_S)
            raise

    def rss_bytes(self) -> int:
        """Resident memory."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def cpu_s(self) -> float:
        """Seconds of computing in this life."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    async def metrics(self) -> dict[str, float]:
        """Every series by its name with labels."""
        lines = [line for line in (await page(self.port, "/metrics")).splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    async def status(self) -> Mapping[str, object]:
        """What it publishes on its own port."""
        return dict(json.loads(await page(self.port, "/v1/status")))

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""


@contextlib.contextmanager
def cluster_controller(
    plane: ControlPlane,
    namespace: str,
    folder: Path,
    document: Document,
    *,
    name: str = "controller-0",
    environ: Mapping[str, str] | None = None,
    wrapper: Sequence[str] = (),
) -> Iterator[ClusterController]:
    """One that has not been started yet; afterwards it is gone. `document`: its spillway.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    section = document.get("controller")
    made = {**document, "controller": {**(section if isinstance(section, dict) else {}), "port": port}}
    (folder / "spillway.yaml").write_text(json.dumps(made))
    with apiserver_proxy(plane, account=f"{namespace}:{CONTROLLER}") as proxy:
        variables = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("SPILLWAY_", "AI_PHASE"))},
            **(environ or {}),
            "KUBECONFIG": str(proxy.kubeconfig(folder / "kubeconfig", namespace)),
            "SPILLWAY_POD_NAME": name,
            MEMBER_VARIABLE: str(plane.folder),
        }
        controller = ClusterController(name, folder, namespace, port, proxy, variables, wrapper)
        try:
            yield controller
        finally:
            controller.stop()
