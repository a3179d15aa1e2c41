"""Failpoints: they act where they are armed, and no release has them."""

from __future__ import annotations

import dis
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

import controller
from controller.telemetry import failpoints

PACKAGE = Path(controller.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "failpoints.py")


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def _words(code: CodeType) -> set[str]:
    """What the instructions of the code object, and of those inside of it, speak of.

    Not `co_names`: CPython enters the names of a block that it leaves out there too, and no instruction can reach them.
    """
    words = {str(instruction.argval) for instruction in dis.get_instructions(code)}
    for constant in code.co_consts:
        words |= _words(constant) if isinstance(constant, CodeType) else set()
    return words


def _traces(optimize: int) -> set[str]:
    return {
        path.name
        for path in MODULES
        if "failpoint" in path.read_text()
        and any("failpoint" in word for word in _words(compile(path.read_text(), str(path), "exec", optimize=optimize)))
    }


def test_python_o_leaves_no_trace() -> None:
    """Under `python -O` no instruction of any module names a failpoint; otherwise those with money do."""
    assert _traces(1) == set()
    assert {"ledger_writer.py", "admission.py"} <= _traces(0)


def test_what_is_not_armed_does_nothing() -> None:
    """Neither without any, nor beside another."""
    failpoints.hit("here")
    failpoints.arm("there:raise")
    failpoints.hit("here")


def test_raise_and_sleep_act_at_every_pass() -> None:
    """`raise` is an OSError, `sleep:S` waits at least so long."""
    failpoints.arm("one:raise,two:sleep:0.02")
    for _ in range(2):
        with pytest.raises(OSError, match="failpoint"):
            failpoints.hit("one")
        began_s = time.monotonic()
        failpoints.hit("two")
        assert time.monotonic() - began_s >= 0.02


def test_a_numbered_one_acts_at_that_pass_alone() -> None:
    """`name@2` is the second."""
    failpoints.arm("one@2:raise")
    failpoints.hit("one")
    with pytest.raises(OSError, match="failpoint"):
        failpoints.hit("one")
    failpoints.hit("one")


def test_kill_is_sigkill() -> None:
    """Armed by the environment; nothing after it runs."""
    code = "from controller.telemetry import failpoints; failpoints.hit('one'); print('alive')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={failpoints.VARIABLE: "one:kill"}, cwd=PACKAGE.parent,
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (-9, "")


@pytest.mark.parametrize("text", ["one", "one:", "one:explode", "one@x:kill", "one:sleep:soon"])
def test_a_wrong_one_is_refused(text: str) -> None:
    """With the variable, the part, and what it must be."""
    with pytest.raises(ValueError, match=r"SPILLWAY_FAILPOINT: .* must be name\[@N\]:kill"):
        failpoints.arm(text)
