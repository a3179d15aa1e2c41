"""scripts/infra-tools.sh takes a release that is on the machine, and says what is missing where it must build."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SYSTEM = "/usr/sbin:/usr/bin:/sbin:/bin"


def _run(folder: Path, version: str, go: str) -> subprocess.CompletedProcess[str]:
    """The script on a path with a space, where PATH has a `pulumi` of that version and a `go` that says `go`."""
    shutil.copytree(ROOT / "tests/infra/tools", folder / "tests/infra/tools")
    (folder / "scripts").mkdir()
    for script in ("infra-tools.sh", "go-tools.sh"):
        shutil.copy(ROOT / "scripts" / script, folder / "scripts")
    programs = folder / "bin"
    programs.mkdir()
    for name, line in (("pulumi", f"echo {version}"), ("go", go)):
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    environ = {"PATH": f"{programs}:{SYSTEM}", "HOME": str(folder)}
    command = [str(folder / "scripts/infra-tools.sh")]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize("go", ["echo go1.20.3", "exit 127"], ids=["an old Go", "no Go"])
def test_the_right_engine_is_taken_and_the_host_must_be_built(tmp_path: Path, go: str) -> None:
    """No release of the host is on its own, so that one needs Go, and the error says what to install."""
    folder = tmp_path / "a checkout"
    done = _run(folder, "v3.259.0", go)
    assert done.returncode == 2
    assert "error: pulumi-language-python must be built, and that needs Go 1.26 or later" in done.stderr
    assert os.readlink(folder / ".infra-tools/pulumi") == str(folder / "bin/pulumi")


def test_another_engine_is_not_taken(tmp_path: Path) -> None:
    """Engine and SDK are of one release."""
    folder = tmp_path / "a checkout"
    done = _run(folder, "v3.200.0", "exit 127")
    assert done.returncode == 2
    assert "error: pulumi must be built" in done.stderr
    assert not (folder / ".infra-tools/pulumi").exists()


def test_engine_and_sdk_are_of_one_release() -> None:
    """The version that the script builds stands in the lock."""
    (version,) = {
        line.split("=v")[1].split()[0]
        for line in (ROOT / "scripts/infra-tools.sh").read_text(encoding="utf-8").splitlines()
        if line.startswith("version=")
    }
    assert f"\npulumi=={version} " in (ROOT / "requirements/infra.txt").read_text(encoding="utf-8")
    assert f"/pkg/v3 v{version}" in (ROOT / "tests/infra/tools/pulumi/go.mod").read_text(encoding="utf-8")
