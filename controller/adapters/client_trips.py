"""One call as a client of the gateway would make it: by the client's own program, or by plain HTTP in its stead."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx

_FIND_S = 10.0
_HAS_PACKAGE = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended. `exit_code` None: it had to be stopped."""

    exit_code: int | None
    output: str
    words: str


def get(url: str, headers: Mapping[str, str], timeout_s: float) -> Reply | str:
    """The answer, or in words why there was none."""
    return _request("GET", url, headers, None, timeout_s)


def post(url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply | str:
    """The same for a POST."""
    return _request("POST", url, headers, body, timeout_s)


def _request(method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float) -> Reply | str:
    try:
        response = httpx.request(method, url, headers=dict(headers), content=body, timeout=timeout_s, trust_env=False)
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    return Reply(status=response.status_code, headers=dict(response.headers), body=response.text)


def run(
    words: Sequence[str], environ: Mapping[str, str], unset: Sequence[str], folder: Path, timeout_s: float
) -> Ended:
    """Run a client's program to its end, or to the deadline: then it is stopped, with all that it started."""
    variables = {name: value for name, value in os.environ.items() if name not in unset}
    try:
        process = subprocess.Popen(
            list(words),
            env={**variables, **environ},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a group of its own: some clients are a launcher and its child
        )
    except OSError as error:
        return Ended(exit_code=None, output="", words=f"{words[0]}: {error.strerror}")
    with process:
        try:
            output, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return Ended(exit_code=None, output="", words=f"no end within {timeout_s:g} s")
        finally:
            if process.returncode is None:  # not waited for, so its number is still that of its group
                os.killpg(process.pid, signal.SIGKILL)
    return Ended(exit_code=process.returncode, output=output.decode("utf-8", "replace"), words=_last_line(errors))


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else ""


@cache
def python_with(package: str) -> str | None:
    """A Python that has the package: this one, that of the active environment, or the one on PATH."""
    try:
        if importlib.util.find_spec(package) is not None:
            return sys.executable
    except ModuleNotFoundError:  # a parent of a dotted name is missing
        pass
    active = os.environ.get("VIRTUAL_ENV")
    candidates = ([str(Path(active) / "bin" / "python")] if active else []) + ["python3", "python"]
    for candidate in candidates:
        found = shutil.which(candidate)
        if found is not None and _succeeds([found, "-c", _HAS_PACKAGE, package]):
            return found
    return None


@cache
def node_with(package: str) -> str | None:
    """The Node on PATH, if it finds the package from this folder."""
    found = shutil.which("node")
    if found is not None and _succeeds([found, "-e", "require.resolve(process.argv[1])", package]):
        return found
    return None


def program(name: str) -> str | None:
    """The program on PATH."""
    return shutil.which(name)


def _succeeds(words: Sequence[str]) -> bool:
    try:
        done = subprocess.run(list(words), stdin=subprocess.DEVNULL, capture_output=True, timeout=_FIND_S, check=False)
    except (subprocess.TimeoutExpired, OSError):
        return False
    return done.returncode == 0
