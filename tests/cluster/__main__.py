"""`python -m tests.cluster up|down|list|shell`: the test cluster by hand. Data on stdout, words on stderr."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.cluster import leftovers
from tests.cluster.errors import ClusterError
from tests.cluster.handle import ControlPlane
from tests.cluster.programs import BUILT, SEARCHED
from tests.cluster.start_cluster import start_cluster
from tests.cluster.start_control_plane import start_control_plane


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (
        ("up", 'start a cluster that stays; use it with: eval "$(python -m tests.cluster up)"'),
        ("shell", "start a cluster, open a shell in which kubectl and helm reach it, remove it when the shell ends"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("--control-plane", action="store_true", help="etcd and the API only; needs no root")
        command.add_argument("--policies", action="store_true", help="NetworkPolicies hold, and are not only stored")
    down = commands.add_parser("down", help="remove a cluster that stays, and what crashed test runs have left")
    down.add_argument(
        "folder", nargs="?", type=Path, help="which one, as `list` prints it; may be left out if one stays"
    )
    commands.add_parser("list", help="print the folder, level and owner of each cluster")
    return parser.parse_args()


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _start(given: argparse.Namespace, *, keep: bool) -> ControlPlane:
    began_s = time.monotonic()
    if given.control_plane:
        started: ControlPlane = start_control_plane(keep=keep)
    else:
        started = start_cluster(keep=keep, policies=given.policies)
    _say(f"ready after {time.monotonic() - began_s:.1f} s: {started.server}, {started.folder}")
    return started


def exports(environ: Mapping[str, str], programs: Path) -> str:
    """What a shell evaluates to reach the cluster with the suite's programs, whatever is in the paths."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environ.items()]
    return "\n".join([*lines, f"export PATH={shlex.quote(str(programs))}:$PATH"])


def _up(given: argparse.Namespace) -> int:
    started = _start(given, keep=True)
    print(exports(started.environ, BUILT))
    _say(f"remove it with: python -m tests.cluster down {started.folder}")
    return 0


def _shell(given: argparse.Namespace) -> int:
    started = _start(given, keep=False)
    try:
        environ = {**os.environ, **started.environ, "PATH": f"{BUILT}:{SEARCHED}"}
        return subprocess.run([os.environ.get("SHELL", "/bin/sh")], env=environ, check=False).returncode
    finally:
        started.remove()


def _down(given: argparse.Namespace) -> int:
    for orphan in leftovers.remove_orphans():
        _say(f"removed {orphan}, left by a run that crashed")
    kept = [folder for folder, state in leftovers.clusters().items() if state.owner_pid is None]
    chosen = [given.folder.absolute()] if given.folder else kept
    if len(chosen) > 1 or not set(chosen) <= set(kept):
        _say(f"error: name the cluster to remove, one of: {', '.join(map(str, kept)) or '(none stays)'}")
        return 2
    for folder in chosen:
        leftovers.remove(folder)
        _say(f"removed {folder}")
    return 0


def _list(_given: argparse.Namespace) -> int:
    for folder, state in leftovers.clusters().items():
        owner = "stays" if state.owner_pid is None else f"process {state.owner_pid}"
        print(f"{folder}\t{state.level}\t{'left over' if state.is_orphan() else owner}")
    return 0


def main() -> int:
    """The exit code: 0 done, 1 the cluster could not, 2 asked wrongly."""
    given = _parse()
    try:
        return {"up": _up, "down": _down, "list": _list, "shell": _shell}[given.command](given)
    except ClusterError as error:
        _say(f"error: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
