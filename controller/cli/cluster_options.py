"""How a command is told that it means a cluster: `--context`, `--namespace`, `--kubeconfig`, or SPILLWAY_PLATFORM.

A command that works in both places is written twice: as a function for this machine, and as one that is loaded only
when a cluster is asked for. `also_on_cluster` joins the two; options that mean nothing on a cluster are refused there.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from importlib import import_module

import typer

from controller.cli.errors import EXIT_USAGE, CliError

PLATFORM = "SPILLWAY_PLATFORM"
PROGRAM = "SPILLWAY_PROGRAM"  # how the command was called, for the commands that it prints
IN_POD = "SPILLWAY_POD_NAME"  # as the chart says it
PLUGIN = "kubectl spillway"
PROCESSES, KUBERNETES = "processes", "kubernetes"
OPTIONS = ("context", "namespace", "kubeconfig")
FLAGS = {"--context": "context", "--namespace": "namespace", "-n": "namespace", "--kubeconfig": "kubeconfig"}
LOCAL_ONLY = {
    "state_dir": ("--state-dir", "keys, ledger and run state are in the cluster"),
    "config": ("--config", "the cluster has a spillway.yaml of its own: spillway config show"),
}

Command = Callable[..., None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterWish:
    """Which cluster, and which namespace of it; None is what kubeconfig says. `program`: how commands are printed."""

    context: str | None = None
    namespace: str | None = None
    kubeconfig: str | None = None
    program: str = "spillway"

    def command(self, words: str) -> str:
        """A command as it must be typed for this cluster."""
        return f"{self.program} {words}{self.flags}"

    def kubectl(self, words: str) -> str:
        """A command of kubectl for this cluster."""
        return f"kubectl {words}{self.flags}"

    @property
    def flags(self) -> str:
        """What names this cluster behind a command."""
        from shlex import quote

        named = (("context", self.context), ("namespace", self.namespace), ("kubeconfig", self.kubeconfig))
        return "".join(f" --{name} {quote(value)}" for name, value in named if value is not None)


def cluster_wish(given: Mapping[str, str | None], environ: Mapping[str, str]) -> ClusterWish | None:
    """The cluster that is meant; None where it is this machine."""
    platform = environ.get(PLATFORM) or PROCESSES
    if platform not in (PROCESSES, KUBERNETES):
        why = f"allowed: {PROCESSES}, {KUBERNETES}"
        raise CliError(f"{PLATFORM} '{platform[:64]}' is no platform", why, f"unset {PLATFORM}", EXIT_USAGE)
    for name, value in given.items():
        if value is not None and not value.strip():
            raise CliError(f"--{name} is empty", "it names what kubeconfig has", f"leave --{name} out", EXIT_USAGE)
    if platform == PROCESSES and not any(given.values()):
        return None
    return ClusterWish(**given, program=environ.get(PROGRAM, "spillway"))


def also_on_cluster(place: str, *, by_database: bool = False) -> Callable[[Command], Command]:
    """The command has the options that name a cluster, and does there what the function at `module:name` does.

    That function takes the wish first, then those options of the command that mean something on a cluster.
    `by_database`: in a pod, which reaches the database itself, it is done as on a machine.
    """

    def joined(here: Command) -> Command:
        @wraps(here)
        def command(**given: object) -> None:
            named = {name: _text(given.pop(name, None)) for name in OPTIONS}
            wish = cluster_wish(named, os.environ)
            if by_database and IN_POD in os.environ and not any(named.values()):
                wish = None
            if wish is None:
                here(**given)
                return
            module, _, name = place.partition(":")
            there: Command = getattr(import_module(f"controller.cli.{module}"), name)
            there(wish, **taken(there, given))

        signature = inspect.signature(here)
        extra = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=str | None)
            for name, default in zip(OPTIONS, _options(), strict=True)
        ]
        command.__signature__ = signature.replace(  # type: ignore[attr-defined] # as inspect documents it
            parameters=[*signature.parameters.values(), *extra]
        )
        command.__annotations__ = {**here.__annotations__, **dict.fromkeys(OPTIONS, str | None)}
        return command

    return joined


def taken(there: Command, given: Mapping[str, object]) -> dict[str, object]:
    """The options that `there` takes; CliError where one is given that means nothing on a cluster."""
    known = inspect.signature(there).parameters
    for name, (option, why) in LOCAL_ONLY.items():
        if name not in known and given.get(name) is not None:
            raise CliError(f"{option} means nothing on a cluster", why, f"leave {option} out", EXIT_USAGE)
    return {name: value for name, value in given.items() if name in known}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _options() -> tuple[object, ...]:
    return (
        typer.Option(None, "--context", help="on the cluster of this context of kubeconfig"),
        typer.Option(None, "--namespace", "-n", help="on a cluster: the namespace [default: the context's]"),
        typer.Option(None, "--kubeconfig", help="on a cluster: the file [default: KUBECONFIG, else ~/.kube/config]"),
    )


def with_flags_behind(words: Sequence[str]) -> list[str]:
    """The command line with leading cluster flags behind the command, as kubectl takes them in either place."""
    led: list[str] = []
    rest = list(words)
    while rest:
        name = rest[0].partition("=")[0]
        if name in FLAGS and ("=" in rest[0] or len(rest) > 1):
            count = 1 if "=" in rest[0] else 2
        elif rest[0].startswith("-n") and len(rest[0]) > 2:
            count = 1
        else:
            break
        led += rest[:count]
        rest = rest[count:]
    if not led or not rest:
        return [*led, *rest]
    end = rest.index("--") if "--" in rest else len(rest)
    return [*rest[:end], *led, *rest[end:]]
