"""Fault group G, supply: packages that are not what was locked, and files that run when Python starts."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.faults.rows import bare_row

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
VICTIM = "idna"
BACKDOOR = "import os; os.environ['SPILLWAY_BACKDOOR'] = '1'\n"
INSTALLERS = {"pip": ["pip", "install", "--quiet"], "uv": ["uv", "pip", "install", "--quiet"]}  # as scripts/env.sh
# Who may run code at the start of Python, and by which file. With a file more, look at what it does.
PTH_FILES = {"_editable_impl_spillway.pth": "spillway", "distutils-precedence.pth": "setuptools"}


def _locked(name: str) -> tuple[str, str]:
    """(version, the lines of the lock) of a package."""
    lock = (ROOT / "requirements/runtime.txt").read_text()
    found = re.search(rf"^{name}==(\S+) \\\n(?:    --hash=\S+(?: \\)?\n)+", lock, re.MULTILINE)
    assert found is not None, f"{name} is not in the lock"
    return found[1], found[0]


def _wheel(folder: Path, name: str, version: str) -> Path:
    """A wheel of that name and version which leaves a file that runs whenever Python starts."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.pth": BACKDOOR,
        f"{name}/__init__.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for place, text in files.items():
            wheel.writestr(place, text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{place},,\n" for place in (*files, f"{info}/RECORD")))
    return path


def _install(installer: str, lock: Path, wheels: Path, target: Path) -> subprocess.CompletedProcess[str]:
    words = ["--require-hashes", "--no-index", "--find-links", str(wheels), "--target", str(target), "-r", str(lock)]
    command = [sys.executable, "-m", *INSTALLERS[installer], *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("installer", INSTALLERS)
def test_g11_a_tampered_wheel(installer: str, tmp_path: Path) -> None:
    """A wheel of the right name and version with other bytes is not installed; with its hash in the lock it is."""
    with bare_row("G11", f"a tampered wheel, {installer}") as line:
        version, lines = _locked(VICTIM)
        wheels, lock, target = tmp_path / "wheels", tmp_path / "lock.txt", tmp_path / "target"
        wheels.mkdir()
        tampered = _wheel(wheels, VICTIM, version)
        lock.write_text(lines)
        line.injected()
        done = _install(installer, lock, wheels, target)
        line.detected()
        assert done.returncode != 0
        assert "hash" in (done.stdout + done.stderr).lower(), done.stderr
        assert not list(target.rglob("*.pth")), "it was installed"
        lock.write_text(f"{VICTIM}=={version}\n")
        assert _install(installer, lock, wheels, target).returncode != 0, "a lock without a hash was taken"
        digest = hashlib.sha256(tampered.read_bytes()).hexdigest()
        lock.write_text(f"{VICTIM}=={version} --hash=sha256:{digest}\n")
        done = _install(installer, lock, wheels, target)
        assert done.returncode == 0, f"nothing could be installed at all: {done.stderr}"
        assert (target / f"{VICTIM}.pth").exists()
        line.healed()


def test_g11_nothing_is_installed_without_a_hash() -> None:
    """Every locked package has hashes, and every installation by the scripts demands them."""
    with bare_row("G11", "locks and scripts") as line:
        line.injected()
        locks = sorted((ROOT / "requirements").glob("*.txt"))
        packages = 0
        for lock in locks:
            if lock.name.endswith("-overrides.txt"):  # constraints for the resolver, not what is installed
                continue
            for entry in re.split(r"\n(?=\S)", lock.read_text()):
                if re.match(r"[A-Za-z0-9]", entry):
                    packages += 1
                    assert "--hash=sha256:" in entry, f"{lock.name}: {entry[:60]}"
        for script in sorted((ROOT / "scripts").glob("*.sh")):
            joined = script.read_text().replace("\\\n", " ")
            for command in re.findall(r"^.*-m (?:uv )?pip\b.* install .*$", joined, re.MULTILINE):
                assert "--require-hashes" in command or "--no-deps" in command, f"{script.name}: {command.strip()}"
        line.detected()
        line.figures["packages"] = packages
        line.healed()


def _owner(site: Path, name: str) -> str | None:
    """The distribution whose record has this very file."""
    digest = base64.urlsafe_b64encode(hashlib.sha256((site / name).read_bytes()).digest()).rstrip(b"=").decode()
    for record in site.glob("*.dist-info/RECORD"):
        with record.open(newline="") as lines:
            for path, hashed, *_ in csv.reader(lines):
                if path == name:
                    return record.parent.name.split("-")[0] if hashed == f"sha256={digest}" else None
    return None


def test_g11_files_that_run_when_python_starts(tmp_path: Path) -> None:
    """The environment that `make up` makes has the `.pth` files that are known, unchanged, and no start-up module."""
    with bare_row("G11", "unexpected .pth files") as line:
        venv = tmp_path / "venv"
        line.injected()
        subprocess.run(["scripts/env.sh", "runtime", str(venv)], cwd=ROOT, check=True, timeout=110, capture_output=True)
        site = next(venv.glob("lib/python*/site-packages"))
        found = {str(path.relative_to(site)): _owner(site, path.name) for path in site.rglob("*.pth")}
        line.detected()
        line.figures["files"] = len(found)
        assert found.items() <= PTH_FILES.items(), found
        assert "_editable_impl_spillway.pth" in found, "the list is not of this environment"
        for name in ("sitecustomize", "usercustomize"):
            assert not list(site.glob(f"{name}*")), f"{name} runs at every start"
        line.healed()
