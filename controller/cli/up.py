"""`spillway up`: the whole system on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.controller import Engine

if TYPE_CHECKING:
    from controller.cli.signals import StopSignals
    from controller.cli.supervise import Supervisor
    from controller.config.settings import Settings

EPILOG = (
    "Examples: spillway up    spillway up --port 9080 --cold-start-s 10    spillway up --engine vllm -c spillway.yaml"
)


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `up`."""
    app.command("up", epilog=EPILOG)(up)


def up(
    engine: Engine = typer.Option(Engine.SIM, help="sim: simulated engines; vllm: the real server"),
    port: int | None = typer.Option(
        None, min=1024, max=65525, help="gateway port; admin is +1, controller +2, stand-in +10 [default: 8080]"
    ),
    config: Path | None = typer.Option(None, "--config", "-c", help="spillway.yaml to use"),
    state_dir: Path | None = typer.Option(None, help="keys, ledger and run state [default: .spillway]"),
    cold_start_s: float | None = typer.Option(None, min=0, max=3600, help="cold start of simulated engines"),
) -> None:
    """Start gateway, controller, engines and providers here; Ctrl-C drains and stops them all."""
    from controller.cli.overrides import COLD_START, PORT

    environ = dict(os.environ)
    if port is not None:
        environ[PORT] = str(port)
    if cold_start_s is not None:
        environ[COLD_START] = str(cold_start_s)
    with running_system(engine.value, config, state_dir, environ, say=_say) as system:
        _print_welcome(system, engine.value)
        system.supervisor.watch(system.signals)
    raise typer.Exit(system.exit_code)


@dataclass(slots=True, kw_only=True)
class System:
    """A ready system and what one needs to use it."""

    settings: Settings
    supervisor: Supervisor
    signals: StopSignals
    key: str
    exit_code: int = 0


@contextmanager
def running_system(
    engine: str,
    config: Path | None,
    state_dir: Path | None,
    environ: Mapping[str, str],
    *,
    say: Callable[[str, str], None],
) -> Iterator[System]:
    """Within: everything runs and is ready. Afterwards, however it ended, nothing that it started is left."""
    from controller.cli.overrides import lacks_key
    from controller.cli.preflight import check_model_dirs, check_ports
    from controller.cli.signals import stop_signals
    from controller.cli.supervise import Interrupted, Supervisor, state_folder
    from controller.cli.wiring import open_fleet, open_local_http

    settings, environ = _settings_with_standin(config, state_dir, environ)
    check_model_dirs(settings, engine)
    state_folder(settings.state_dir)
    _clean(settings.state_dir, say)
    check_ports(settings.gateway.host, _ports(settings))
    key = kept_key(settings)
    for provider in settings.providers.values():
        if provider.simulated and lacks_key(provider, environ):
            say("simulated", f"provider {provider.name}: {provider.api_key_env} is not set, so a stand-in answers")
    http, fleet = open_local_http(), open_fleet(settings)
    with stop_signals() as signals:
        supervisor = Supervisor(settings, engine=engine, environ=environ, get=http.get, view=fleet.last, say=say)
        system = System(settings=settings, supervisor=supervisor, signals=signals, key=key)
        try:
            supervisor.start()
            supervisor.wait_ready(signals)
            yield system
        except Interrupted:
            raise typer.Exit(_exit_code(signals)) from None
        finally:
            if signals.count:
                say("stopping", "draining streams, then engines; press Ctrl+C again to force")
            supervisor.stop(signals)
            http.close()
            say("stopped", "nothing is left running")
            system.exit_code = _exit_code(signals)


def _settings_with_standin(
    config: Path | None, state_dir: Path | None, environ: Mapping[str, str]
) -> tuple[Settings, Mapping[str, str]]:
    from controller.cli.overrides import STANDIN_FOR, STANDIN_URL, standin_for, with_standin
    from controller.cli.wiring import settings_from

    settings = settings_from(config, state_dir, environ=environ)
    replaced = standin_for(settings, environ)
    if replaced:
        url = f"http://127.0.0.1:{settings.standin_port}"
        environ = {**environ, STANDIN_URL: url, STANDIN_FOR: ",".join(replaced)}
        return with_standin(settings, url, environ), environ
    return settings, environ


def _ports(settings: Settings) -> dict[str, int]:
    ports = {
        "gateway": settings.gateway.port,
        "gateway's admin server": settings.gateway.admin_port,
        "controller": settings.controller.port,
    }
    if any(provider.simulated for provider in settings.providers.values()):
        ports["stand-in provider"] = settings.standin_port
    return ports


def _clean(state_dir: Path, say: Callable[[str, str], None]) -> None:
    from controller.cli.errors import CliError
    from controller.cli.leftovers import clean, running_up

    pid = running_up(state_dir)
    if pid is not None:
        raise CliError(
            f"spillway is already up on {state_dir} (process {pid})",
            fix="spillway status, or stop it with Ctrl-C, or use another --state-dir",
        )
    stopped = clean(state_dir)
    if stopped:
        say("cleaned", f"{stopped} processes that an earlier run had left")


def kept_key(settings: Settings) -> str:
    """The text of the key that `up` shows: the one kept from last time while it is still good, else a new one."""
    from controller.cli.wiring import open_keys

    file = settings.state_dir / "up.key"
    keys = open_keys(settings)
    try:
        text = file.read_text().strip() if file.exists() else ""
        if keys.is_good(text):
            return text
        text, _record = keys.create("default", "up", now_s=time.time())
        draft = file.with_name(".up.key.tmp")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as sink:
            sink.write(text + "\n")
        draft.replace(file)
        return text
    finally:
        keys.close()


def _exit_code(signals: StopSignals) -> int:
    import signal

    if signals.first is None:
        return 0
    return 130 if signals.first == signal.SIGINT else 128 + signals.first


def _say(label: str, text: str) -> None:
    from controller.cli.output import say

    say(label, text)


def _print_welcome(system: System, engine: str) -> None:
    settings, url = system.settings, system.supervisor.gateway_url
    providers = [
        f"{provider.name} (simulated)" if provider.simulated else provider.name
        for provider in settings.providers.values()
    ]
    model = next(iter(settings.pools), "auto")
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Say hello."}}], "max_tokens": 40}}'
    engines = "simulated engines" if engine == "sim" else "vLLM"
    lines = [
        "",
        f"  base URL   {url}/v1",
        f"  key        {system.key}",
        f"  pools      {', '.join(settings.pools)} ({engines})",
        f"  providers  {', '.join(providers)}",
        f"  phase      {settings.phase.value}: what the model name auto goes by",
        "",
        f"  curl {url}/v1/chat/completions -H 'Authorization: Bearer {system.key}' \\",
        f"    -H 'Content-Type: application/json' -d '{body}'",
        "",
        f"  next: {_command('status --watch', settings)}",
        "  Ctrl-C drains and stops everything",
        "",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _command(words: str, settings: Settings) -> str:
    """A command of ours as it must be typed here, for this state folder."""
    import shlex
    import shutil

    here = Path(sys.argv[0])
    found = shutil.which("spillway") is not None or here.name != "spillway"
    program = "spillway" if found else shlex.quote(os.path.relpath(here))
    if settings.state_dir == Path(".spillway") or settings.state_dir == Path(".spillway").absolute():
        return f"{program} {words}"
    return f"{program} {words} --state-dir {shlex.quote(str(settings.state_dir))}"
