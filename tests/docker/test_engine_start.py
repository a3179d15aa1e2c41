"""The command line of vLLM as the engine image makes it, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START = ROOT / "docker" / "engine_start.py"
KEY = {"VLLM_API_KEY": "k"}
# Stands where vLLM's module would and prints the words it was started with.
SERVER = "import sys; print(*sys.argv[1:], sep='\\n')"


@pytest.fixture
def vllm(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH with a module in vLLM's place."""
    folder = tmp_path / "vllm/entrypoints/openai"
    folder.mkdir(parents=True)
    (folder / "api_server.py").write_text(SERVER)
    return tmp_path


def _start(vllm: Path, *arguments: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, START, *arguments],
        env={"PYTHONPATH": str(vllm), **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _flags(words: list[str]) -> dict[str, str]:
    return dict(zip(words[::2], words[1::2], strict=True))


def test_what_is_left_out_is_added(vllm: Path) -> None:
    """It listens for other machines, fetches nothing for callers, bounds its queue and ends open answers on SIGTERM."""
    done = _start(vllm, "--model", "m", environ=KEY)
    assert _flags(done.stdout.splitlines()) == {
        "--host": "0.0.0.0",
        "--port": "8000",
        "--allowed-media-domains": "none.invalid",
        "--max-num-queued-reqs": "256",
        "--disable-access-log-for-endpoints": "/health,/metrics",
        "--shutdown-timeout": "120",
        "--model": "m",
    }


@pytest.mark.parametrize(
    "given",
    [("--port", "9000"), ("--port=9000",), ("--shutdown_timeout", "5"), ("--allowed-media-domains", "a.example")],
)
def test_what_is_given_stands_alone(vllm: Path, given: tuple[str, ...]) -> None:
    """A flag that the caller has is not added a second time, however it is spelled."""
    words = _start(vllm, *given, environ=KEY).stdout.splitlines()
    flag = given[0].partition("=")[0].replace("_", "-")
    assert [word for word in words if word.partition("=")[0].replace("_", "-") == flag] == [given[0]]
    assert words[-len(given) :] == list(given)


def test_the_drain_is_a_variable(vllm: Path) -> None:
    """SPILLWAY_DRAIN_S seconds for open answers."""
    words = _start(vllm, environ={**KEY, "SPILLWAY_DRAIN_S": "30"}).stdout.splitlines()
    assert _flags(words)["--shutdown-timeout"] == "30"


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        ((), {}, "VLLM_API_KEY is not set"),
        ((), {"VLLM_API_KEY": ""}, "VLLM_API_KEY is not set"),
        (("--trust-remote-code",), KEY, "--trust-remote-code is refused"),
        (("--trust_remote_code",), KEY, "--trust-remote-code is refused"),
        (("--api-key=k",), KEY, "--api-key is refused"),
        ((), {**KEY, "VLLM_SERVER_DEV_MODE": "1"}, "VLLM_SERVER_DEV_MODE=1 is refused"),
        ((), {**KEY, "SPILLWAY_DRAIN_S": "2m"}, "SPILLWAY_DRAIN_S must be whole seconds from 0 to 3600, not '2m'"),
        ((), {**KEY, "SPILLWAY_DRAIN_S": "3601"}, "SPILLWAY_DRAIN_S must be whole seconds"),
    ],
)
def test_a_hole_in_the_wall_is_refused(
    vllm: Path, arguments: tuple[str, ...], environ: dict[str, str], words: str
) -> None:
    """It ends with 2, says which setting and what to do, and vLLM was not started."""
    done = _start(vllm, *arguments, environ=environ)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""


def test_dev_mode_switched_off_is_no_reason(vllm: Path) -> None:
    """VLLM_SERVER_DEV_MODE=0 is what vLLM takes anyway."""
    assert _start(vllm, environ={**KEY, "VLLM_SERVER_DEV_MODE": "0"}).returncode == 0
