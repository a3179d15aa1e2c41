"""The processes of one machine: starts them in order, keeps them alive, stops them in order.

Called by `spillway up` and `spillway demo`. The stop order is the gateway (drains its streams), the controller,
the replicas, the stand-in provider; each with a deadline.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from controller.cli.children import Child, ChildSpec, ending
from controller.cli.errors import CliError
from controller.cli.leftovers import identity, stop_replicas, write_record
from controller.cli.overrides import NAMES as OVERRIDES
from controller.cli.signals import StopSignals
from controller.config.settings import Settings
from controller.core.fleet import FleetView, ReplicaState

POLL_S = 0.1
WATCH_S = 0.3
READY_DEADLINE_S = 120.0
COLD_START_FACTOR = 4.0
TOLD_EVERY_S = 10.0
STOP_DEADLINE_S = 10.0


class Interrupted(Exception):
    """A stop signal came while waiting."""


class Supervisor:
    """Everything `up` runs. `get` reads a local URL, `view` the published fleet, `say` prints one line of progress."""

    def __init__(
        self,
        settings: Settings,
        *,
        engine: str,
        environ: Mapping[str, str],
        get: Callable[[str], bytes | None],
        view: Callable[[], FleetView | None],
        say: Callable[[str, str], None],
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._environ = dict(environ)
        self._get = get
        self.view = view
        self._say = say
        self.gateway = self._child(
            "gateway", self._command("gateway"), settings.gateway.drain_lead_s + settings.gateway.drain_s + 5.0
        )
        self.controller = self._child("controller", [*self._command("controller"), "--engine", engine], STOP_DEADLINE_S)
        self.standin: Child | None = None
        if any(provider.simulated for provider in settings.providers.values()):
            command = [sys.executable, "-m", "controller.engine_sim.provider", "--port", str(settings.standin_port)]
            self.standin = self._child("stand-in provider", command, STOP_DEADLINE_S)

    def _command(self, job: str) -> list[str]:
        command = [sys.executable, "-m", "controller.cli.main", job, "--state-dir", str(self._settings.state_dir)]
        return [*command, "--config", str(self._settings.file)] if self._settings.file is not None else command

    def _child(self, name: str, command: list[str], stop_deadline_s: float) -> Child:
        log_file = self._settings.state_dir / "logs" / f"{name.replace(' ', '-')}.log"
        return Child(
            ChildSpec(
                name=name,
                command=command,
                environ=self._environ,
                log_file=log_file,
                stop_deadline_s=stop_deadline_s,
            )
        )

    @property
    def children(self) -> tuple[Child, ...]:
        """In start order."""
        return tuple(child for child in (self.standin, self.controller, self.gateway) if child is not None)

    @property
    def gateway_url(self) -> str:
        """Where callers go."""
        return f"http://{self._settings.gateway.host}:{self._settings.gateway.port}"

    @property
    def admin_url(self) -> str:
        """Health and metrics of the gateway."""
        return f"http://{self._settings.gateway.admin_host}:{self._settings.gateway.admin_port}"

    @property
    def controller_url(self) -> str:
        """Status, health and metrics of the controller."""
        return f"http://{self._settings.controller.host}:{self._settings.controller.port}"

    @property
    def standin_url(self) -> str | None:
        """The stand-in provider, when there is one."""
        return f"http://127.0.0.1:{self._settings.standin_port}" if self.standin is not None else None

    def start(self) -> None:
        """Afterwards every process is started and recorded; none need be ready."""
        self._record_up(ready=False)
        for child in self.children:
            child.start()
            self._record_children()

    def _record_children(self) -> None:
        records = {child.name: record for child in self.children if (record := child.record()) is not None}
        write_record(self._settings.state_dir / "run" / "children.json", records)

    def _record_up(self, *, ready: bool) -> None:
        record = {
            **(identity(os.getpid()) or {}),
            "gateway_url": self.gateway_url,
            "admin_url": self.admin_url,
            "controller_url": self.controller_url,
            "standin_url": self.standin_url,
            "engine": self._engine,
            "overrides": {name: self._environ[name] for name in OVERRIDES if name in self._environ},
            "ready": ready,
        }
        write_record(self._settings.state_dir / "run" / "up.json", record)

    def wait_ready(self, signals: StopSignals) -> None:
        """Returns when all answer and each pool that wants replicas has one ready, telling what comes up."""
        started_s, deadline_s = time.monotonic(), self._ready_deadline_s()
        told_s = TOLD_EVERY_S
        missing = self._checks()
        while missing:
            for name in [name for name, check in missing.items() if check()]:
                del missing[name]
                self._say("ready", f"{name} after {time.monotonic() - started_s:.1f} s")
            self._refuse_dead_children()
            if missing and time.monotonic() - started_s > told_s:
                self._say("waiting", f"for {', '.join(missing)}: {told_s:.0f} s so far, {deadline_s:.0f} s at most")
                told_s += TOLD_EVERY_S
            if missing and time.monotonic() - started_s > deadline_s:
                raise CliError(
                    f"not ready within {deadline_s:.0f} s: {', '.join(missing)}",
                    fix=f"look at the logs in {self._settings.state_dir / 'logs'}",
                )
            if missing and signals.wait(POLL_S):
                raise Interrupted
        self._record_up(ready=True)

    def _ready_deadline_s(self) -> float:
        """Simulated engines start in seconds; real ones get several times the cold start that their pool expects."""
        if self._engine == "sim":
            return READY_DEADLINE_S + self._settings.simulated_cold_start_s
        cold_starts_s = [pool.scale.cold_start_s for pool in self._settings.pools.values() if pool.model_dir]
        return READY_DEADLINE_S + COLD_START_FACTOR * max(cold_starts_s, default=0.0)

    def _checks(self) -> dict[str, Callable[[], bool]]:
        checks: dict[str, Callable[[], bool]] = {}
        if self.standin_url is not None:
            url = f"{self.standin_url}/health"
            checks["stand-in provider (simulated)"] = lambda: self._get(url) is not None
        checks["controller"] = lambda: self._get(f"{self.controller_url}/healthz") is not None
        label = "simulated engine" if self._engine == "sim" else "vLLM"
        for name, pool in self._settings.pools.items():
            started = pool.scale.min_replicas > 0 and (self._engine == "sim" or pool.model_dir is not None)
            if started or pool.endpoints:
                kind = "fixed endpoint" if pool.endpoints else label
                checks[f"pool {name} ({kind})"] = lambda name=name: self._pool_ready(name)  # type: ignore[misc] # bound
        checks["gateway"] = lambda: self._get(f"{self.admin_url}/readyz") is not None
        return checks

    def _pool_ready(self, name: str) -> bool:
        """Whether the gateway itself knows of a ready replica: it reads a new view a moment after it was published."""
        try:
            loads = json.loads(self._get(f"{self.admin_url}/v1/loads") or b"{}")
        except ValueError:
            return False
        pool = loads.get("pools", {}).get(name, {})
        return bool(pool.get(ReplicaState.READY.value))

    def _refuse_dead_children(self) -> None:
        for child in self.children:
            code = child.exit_code()
            if code is not None:
                why = child.last_words()
                raise CliError(f"the {child.name} ended with {ending(code)}", why, f"see {child.spec.log_file}")

    def watch(self, signals: StopSignals) -> None:
        """Keeps every process alive until a stop signal comes."""
        while not signals.wait(WATCH_S):
            self.keep_alive()

    def keep_alive(self) -> None:
        """One look at every process; what died is started again after its back-off."""
        for child in self.children:
            said = child.keep_alive(time.monotonic())
            if said is not None:
                self._say("warning", said)
                self._record_children()

    def stop(self, signals: StopSignals) -> None:
        """Afterwards nothing runs any more: drained in order, or killed at once on a second stop signal."""
        already = signals.count
        for child in (self.gateway, self.controller):
            self._stop_child(child, signals, already)
        drained = 1.0 if signals.count > already else STOP_DEADLINE_S
        stop_replicas(self._settings.state_dir, deadline_s=drained)
        if self.standin is not None:
            self._stop_child(self.standin, signals, already)
        stop_replicas(self._settings.state_dir, deadline_s=1.0)
        for name in ("up.json", "children.json"):
            (self._settings.state_dir / "run" / name).unlink(missing_ok=True)

    def _stop_child(self, child: Child, signals: StopSignals, already: int) -> None:
        child.terminate()
        deadline_s = time.monotonic() + child.spec.stop_deadline_s
        while child.exit_code() is None and child.record() is not None:
            if signals.count > already or time.monotonic() > deadline_s:
                child.kill()
                return
            signals.wait(0.05)


def state_folder(path: Path) -> Path:
    """The state folder, made when it is not there; refused when it cannot be written."""
    try:
        (path / "run").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CliError(
            f"cannot write the state folder {path}", error.strerror or "", "choose another: --state-dir"
        ) from (error)
    return path
