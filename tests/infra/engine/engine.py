"""The real engine in a folder of its own, with the doubles beside it: its home, its state and all it starts go with it.

Both ways of running lead here: the command line (`run`) and the Automation API (`environ` and `workspace`).
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.infra.doubles.store import Cloud

ROOT = Path(__file__).parents[3]
TOOLS, CLUSTER_TOOLS = ROOT / ".infra-tools", ROOT / ".cluster-tools"
PASSPHRASE = "of the tests alone"
RUN_S, START_S, STOP_S = 240.0, 60.0, 10.0


class EngineFailed(Exception):
    """A command of the engine ended otherwise than it should; holds all it said."""


@dataclass(frozen=True)
class Ran:
    """What a command of the engine said and did."""

    code: int
    said: str
    changes: Mapping[str, int]
    wall_s: float

    def count(self, *kinds: str) -> int:
        """How many resources were `create`d, `update`d, ... ."""
        return sum(self.changes.get(kind, 0) for kind in kinds)

    @property
    def changed(self) -> int:
        """How many resources did not stay as they were."""
        return sum(count for kind, count in self.changes.items() if kind != "same")


@dataclass
class Engine:
    """One stack of the program in `program`. `api`: variables that lead the Kubernetes double to a real cluster."""

    folder: Path
    program: Path
    stack: str
    api: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)  # more variables of the one who deploys
    place: str = "project"
    _children: list[psutil.Popen] = field(default_factory=list)
    _ports: dict[str, int] = field(default_factory=dict)

    @property
    def project(self) -> Path:
        """The folder in which the engine runs: a copy of what it reads, as it writes its salt beside the settings."""
        return self.folder / self.place

    @property
    def aws(self) -> Cloud:
        """What stands in the account."""
        return Cloud(self.folder / "aws")

    @property
    def kubernetes(self) -> Cloud:
        """What the program has put into the cluster."""
        return Cloud(self.folder / "kubernetes")

    @property
    def settings(self) -> Path:
        """The file of the stack, to be changed by tests."""
        return self.project / f"Pulumi.{self.stack}.yaml"

    def start(self) -> None:
        """Doubles answer, the stack exists."""
        for tool in (
            TOOLS / "pulumi",
            TOOLS / "pulumi-language-python",
            CLUSTER_TOOLS / "kubectl",
            CLUSTER_TOOLS / "helm",
        ):
            if not tool.exists():
                raise EngineFailed(f"{tool} is missing: run scripts/infra-tools.sh and scripts/cluster-tools.sh")
        self._copy()
        (self.folder / "helm").symlink_to(ROOT / "helm")  # our charts, beside the project as in a checkout
        for name in ("home", "state", "aws", "kubernetes"):
            (self.folder / name).mkdir()
        self._ports["aws"] = self._double("aws")
        tools = (str(CLUSTER_TOOLS / "kubectl"), str(CLUSTER_TOOLS / "helm"))
        self._ports["kubernetes"] = self._double("kubernetes", *tools)
        self.run("stack", "init", self.stack)

    def beside(self, program: Path, stack: str) -> Engine:
        """A stack of another program in the same state, with the same account and cluster; it ends with this one."""
        other = replace(self, program=program, stack=stack, place=program.name)
        other._copy()
        other.run("stack", "init", stack)
        return other

    def _copy(self) -> None:
        self.project.mkdir(parents=True)
        for file in (*self.program.glob("Pulumi*.yaml"), self.program / "__main__.py"):
            shutil.copy(file, self.project)

    def _double(self, name: str, *words: str) -> int:
        with (self.folder / f"{name}.log").open("wb") as log:
            child = psutil.Popen(
                [sys.executable, "-m", f"tests.infra.doubles.{name}", str(self.folder / name), *words],
                cwd=self.project,  # as the engine starts a provider: folders of charts are named from there
                env={**os.environ, **self.api, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,  # it ends with us, however we end
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._children.append(child)
        if not select.select([child.stdout], [], [], START_S)[0] or not (line := child.stdout.readline()):
            raise EngineFailed(f"the double of {name} did not start: {(self.folder / f'{name}.log').read_text()}")
        return int(line)

    @property
    def environ(self) -> dict[str, str]:
        """With these variables every way of running the engine stays in this folder and asks nobody else."""
        return {
            "PATH": os.pathsep.join((str(Path(sys.prefix) / "bin"), str(TOOLS), "/usr/bin", "/bin")),
            "HOME": str(self.folder / "home"),
            "PULUMI_HOME": str(self.folder / "home"),
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_DEBUG_PROVIDERS": ",".join(f"{name}:{port}" for name, port in self._ports.items()),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DEBUG_COMMANDS": "true",  # --event-log, as the Automation API itself sets it
            "PULUMI_PYTHON_CMD": sys.executable,
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
            **self.secrets,
        }

    def begin(self, *words: str) -> psutil.Popen:
        """The command runs; what it says goes to `pulumi.log`."""
        with (self.folder / "pulumi.log").open("wb") as log:
            child = psutil.Popen(
                [str(TOOLS / "pulumi"), *words, "--non-interactive"],
                cwd=self.project,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._children.append(child)
        return child

    def run(self, *words: str, expect: int | None = 0, deadline_s: float = RUN_S) -> Ran:
        """What the command did; EngineFailed where its code is not `expect` (None: any), or it did not end in time."""
        began = time.monotonic()
        events = self.folder / "events.json"
        events.unlink(missing_ok=True)
        acts = words[0] in {"up", "preview", "destroy", "refresh"}
        child = self.begin(*words, *(("--event-log", str(events), "--stack", self.stack) if acts else ()))
        try:
            code = child.wait(deadline_s)
        except psutil.TimeoutExpired:
            kill_tree(child)
            raise EngineFailed(f"{' '.join(words)} ran longer than {deadline_s} s:\n{self.said()}") from None
        ran = Ran(code, self.said(), _changes(events), time.monotonic() - began)
        if expect is not None and code != expect:
            raise EngineFailed(f"{' '.join(words)} ended with {code}:\n{ran.said}")
        return ran

    def said(self) -> str:
        """What the last command said."""
        return (self.folder / "pulumi.log").read_text(encoding="utf-8", errors="replace")

    def preview(self, *words: str, expect: int | None = 0) -> Ran:
        """What an update would do."""
        return self.run("preview", *words, expect=expect)

    def up(self, *words: str, expect: int | None = 0) -> Ran:
        """The literal command."""
        return self.run("up", "--yes", "--skip-preview", *words, expect=expect)

    def refresh(self, *words: str) -> Ran:
        """The state is what the providers say."""
        return self.run("refresh", "--yes", "--skip-preview", *words)

    def destroy(self, *words: str, expect: int | None = 0) -> Ran:
        """Nothing is left in the state."""
        return self.run("destroy", "--yes", "--skip-preview", *words, expect=expect)

    def export(self) -> dict[str, Any]:
        """The state as the engine writes it down."""
        return json.loads(self.run("stack", "export").said)  # type: ignore[no-any-return]

    def outputs(self) -> dict[str, Any]:
        """What the stack tells others."""
        return json.loads(self.run("stack", "output", "--json").said)  # type: ignore[no-any-return]

    def stop(self) -> None:
        """No process that was started here is left."""
        for child in self._children:
            kill_tree(child)


def kill_tree(child: psutil.Popen) -> None:
    """It and all it started are gone, at once (SIGKILL)."""
    try:
        processes = [*child.children(recursive=True), child]
    except psutil.NoSuchProcess:
        processes = [child]
    for process in reversed(processes):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=STOP_S)
    for stream in (child.stdin, child.stdout):
        if stream:
            stream.close()


def until(what: str, is_so: Callable[[], bool], deadline_s: float) -> None:
    """Returns once it is so; EngineFailed when it is not in time."""
    ends = time.monotonic() + deadline_s
    while not is_so():
        if time.monotonic() > ends:
            raise EngineFailed(f"not within {deadline_s} s: {what}")
        time.sleep(0.05)


def _changes(events: Path) -> Mapping[str, int]:
    if not events.exists():
        return {}
    for line in events.read_text(encoding="utf-8").splitlines():
        summary = json.loads(line).get("summaryEvent")
        if summary:
            return summary["resourceChanges"]  # type: ignore[no-any-return]
    return {}


def change_settings(engine: Engine, change: Callable[[dict[str, Any]], None]) -> None:
    """The settings of the stack are changed in its file."""
    said = yaml.safe_load(engine.settings.read_text(encoding="utf-8"))
    change(said["config"])
    engine.settings.write_text(yaml.safe_dump(said), encoding="utf-8")
