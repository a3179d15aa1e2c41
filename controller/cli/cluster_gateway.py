"""Commands on keys and ledger of a cluster: run in a pod of the gateway, which reaches the database and has the pepper.

What they print and their exit codes are handed on as they are; commands that they print get what names the cluster.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path

import typer
from typer.models import ArgumentInfo, OptionInfo

from controller.cli.cluster import Cluster, open_cluster
from controller.cli.cluster_options import ClusterWish, Command
from controller.cli.errors import CliError
from controller.core.errors import SpillwayError

CONTAINER = "gateway"
PRINTED = re.compile(r"spillway (?P<words>(?:keys|ledger|request)(?: [\w.<>-]+)*)(?P<end>\s*)$")
Sink = Callable[[bytes], None]


def words_of(command: Command, name: str, given: Mapping[str, object]) -> list[str]:
    """The command line that has these values: `name`, options that differ from their default, arguments."""
    options: list[str] = []
    arguments: list[str] = []
    for parameter in inspect.signature(command).parameters.values():
        info, value = parameter.default, given.get(parameter.name)
        if value is None or not isinstance(info, OptionInfo | ArgumentInfo) or value == info.default:
            continue
        said = [_text(one) for one in value] if isinstance(value, list | tuple) else [_text(value)]
        if isinstance(info, ArgumentInfo):
            arguments += said
        elif isinstance(value, bool):
            options += [_flag(parameter.name, info)] if value else []
        else:
            options += [word for one in said for word in (_flag(parameter.name, info), one)]
    return [*name.split(), *options, *(["--", *arguments] if arguments else [])]


def _flag(name: str, info: OptionInfo) -> str:
    named = [word for word in info.param_decls or () if word.startswith("--")]
    return named[0] if named else f"--{name.replace('_', '-')}"


def _text(value: object) -> str:
    return str(value.value if isinstance(value, Enum) else value)


def run_there(wish: ClusterWish, words: Sequence[str], *, stdout: Sink | None = None) -> int:
    """The exit code of `spillway WORDS` in a pod of the gateway, whose words appear as its own would here."""
    with open_cluster(wish) as cluster:
        pod = gateway_pod(cluster)
        lines = _Lines(wish)
        try:
            return _execute(cluster, pod, ["spillway", *words], stdout or _write_stdout, lines.take)
        except SpillwayError as error:
            raise _with_the_way_by_hand(error, cluster, pod, words) from error
        finally:
            lines.end()


def gateway_pod(cluster: Cluster) -> str:
    """A pod of the gateway that serves; CliError where there is none."""
    from controller.adapters.kubernetes_sight import ready_members

    pods = cluster.do(lambda client: ready_members(client, CONTAINER))
    if not pods:
        raise CliError(
            f"no gateway is ready in {cluster.where}",
            "keys and ledger are in its database, which a pod of it reaches",
            "see why: " + cluster.wish.kubectl("get pods --selector app.kubernetes.io/component=gateway"),
        )
    return pods[0]


def _execute(cluster: Cluster, pod: str, command: Sequence[str], stdout: Sink, stderr: Sink) -> int:
    from controller.adapters.kubernetes_exec import execute

    return cluster.do(
        lambda client: execute(client, cluster.access, pod, CONTAINER, command, stdout=stdout, stderr=stderr)
    )


def _with_the_way_by_hand(error: SpillwayError, cluster: Cluster, pod: str, words: Sequence[str]) -> SpillwayError:
    """The error with the command that somebody with the right to it can type."""
    if not isinstance(error, CliError):
        return error
    from shlex import join

    by_hand = f"{cluster.wish.kubectl(f'exec {pod} --container {CONTAINER}')} -- spillway {join(words)}"
    why = f"it is run in a pod of the gateway (pods/exec): {error.why}"
    return CliError(error.what, why, f"{error.fix}; by hand: {by_hand}", error.exit_code)


def _write_stdout(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


class _Lines:
    """Words of the command there, line by line on stderr; printed commands get what names the cluster."""

    def __init__(self, wish: ClusterWish) -> None:
        self._wish = wish
        self._rest = b""

    def take(self, data: bytes) -> None:
        """More of it."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._tell(line)

    def end(self) -> None:
        """That was all."""
        if self._rest:
            self._tell(self._rest)
            self._rest = b""

    def _tell(self, line: bytes) -> None:
        sys.stderr.write(as_typed_here(line.decode("utf-8", "replace"), self._wish) + "\n")
        sys.stderr.flush()


def as_typed_here(line: str, wish: ClusterWish) -> str:
    """The line, where it ends with one of our commands, as it must be typed for this cluster."""
    return PRINTED.sub(lambda found: wish.command(found["words"]), line)


def finish(code: int) -> None:
    """Ends the command with the exit code of the one there."""
    if code:
        raise typer.Exit(code)


def create_key(wish: ClusterWish, *, name: str, tenant: str, init: bool, as_json: bool) -> None:
    """`keys create` there."""
    from controller.cli import keys

    if init:
        raise CliError("--init means nothing on a cluster", "a gateway runs there already", "leave --init out", 2)
    keys.checked_name("name", name)
    keys.checked_name("tenant", tenant)
    _there(wish, keys.create, "keys create", {"name": name, "tenant": tenant, "as_json": as_json})


def list_keys(wish: ClusterWish, *, as_json: bool) -> None:
    """`keys list` there."""
    from controller.cli import keys

    _there(wish, keys.list_keys, "keys list", {"as_json": as_json})


def revoke_key(wish: ClusterWish, *, key_id: str, yes: bool, error_unchanged: bool, as_json: bool) -> None:
    """`keys revoke` there; who is at a terminal is asked here."""
    from controller.cli import keys

    if not yes and sys.stdin.isatty():
        typer.confirm(f"revoke key {key_id} for good?", abort=True, err=True)
    _there(
        wish,
        keys.revoke,
        "keys revoke",
        {"key_id": key_id, "yes": True, "error_unchanged": error_unchanged, "as_json": as_json},
    )


def new_pepper(wish: ClusterWish) -> None:
    """A pepper of a cluster is in its Secret, and no process may write that."""
    raise CliError(
        "the pepper of a cluster is in its Secret",
        "no process there may write Secrets",
        "add the next one to the Secret under the key `pepper.2` (see helm/README.md, rotate keys)",
    )


def report(wish: ClusterWish, *, by: str, since: str, until: str, as_json: bool) -> None:
    """`ledger report` there."""
    from controller.cli import ledger

    ledger.dimensions(by)
    ledger.span_s(since, until)
    _there(wish, ledger.report, "ledger report", {"by": by, "since": since, "until": until, "as_json": as_json})


def request(wish: ClusterWish, *, request_id: str | None, last: int, as_json: bool) -> None:
    """`request` there."""
    from controller.cli import request as here

    _there(wish, here.request, "request", {"request_id": request_id, "last": last, "as_json": as_json})


def verify(wish: ClusterWish, *, files: list[Path]) -> None:
    """The files are here and the ledger there."""
    raise CliError(
        "ledger verify reads files here and needs the database there",
        f"the pods of the gateway have no {files[0]}",
        "where PostgreSQL can be reached from here (kubectl port-forward), leave out what names the cluster and set "
        "SPILLWAY_DATABASE_URL: spillway ledger verify FILE",
    )


def _there(wish: ClusterWish, command: Command, path: str, given: Mapping[str, object]) -> None:
    finish(run_there(wish, words_of(command, path, given)))
