"""What is in the images, and above all what is not."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from tests.docker.images import ROOT, Image

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1000)]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
USER = 10001
# Everything that the kernel could be asked to run by name, besides links: the interpreter, and no second program.
PROGRAMS = {"usr/bin/python3.11"}
SCRIPTS = set(PROJECT["scripts"])  # ours, and none that a dependency brings
PTH_FILES: set[str] = set()  # code that would run at every start of Python


def _files(image: Image) -> list[Path]:
    return [path for path in image.files.rglob("*") if not path.is_symlink() and path.is_file()]


def _named(image: Image) -> set[str]:
    return {path.relative_to(image.files).as_posix() for path in _files(image)}


def test_nothing_runs_as_root(image: Image) -> None:
    """The user is a number, as Kubernetes wants it to prove that it is not 0, and owns its state folder alone."""
    assert image.config["User"] == f"{USER}:{USER}"
    state = (image.files / "var/lib/spillway").stat()
    assert (state.st_uid, stat.S_IMODE(state.st_mode)) == (USER, 0o700)
    owned = [path for path in image.files.rglob("*") if path.lstat().st_uid == USER]
    assert owned == [image.files / "var/lib/spillway"]


def test_no_file_gives_privileges_or_can_be_written_by_all(image: Image) -> None:
    """No setuid, no setgid; only /tmp is open to everyone."""
    modes = {path: path.lstat().st_mode for path in image.files.rglob("*") if not path.is_symlink()}
    assert [path for path, mode in modes.items() if mode & (stat.S_ISUID | stat.S_ISGID)] == []
    assert [path for path, mode in modes.items() if mode & stat.S_IWOTH] == [image.files / "tmp"]


def test_the_programs_are_python_and_ours(image: Image) -> None:
    """No shell, no compiler, no package manager: /usr/bin holds the interpreter, /opt/spillway/bin Python scripts."""
    programs = {
        path.relative_to(image.files).as_posix()
        for folder in ("usr/bin", "usr/sbin", "usr/local", "opt/spillway/bin")
        for path in (image.files / folder).rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    scripts = {name for name in programs if name.startswith("opt/spillway/bin/")}
    assert programs - scripts == PROGRAMS
    assert {Path(name).name for name in scripts} == SCRIPTS
    for name in scripts:
        assert (image.files / name).read_text().startswith("#!/opt/spillway/bin/python"), name


def test_no_installer_no_cache_no_source_of_surprises(image: Image) -> None:
    """No pip, no apt lists or caches, no code that every start of Python would run, no test suite of the base."""
    names = _named(image)
    assert {name for name in names if name.endswith(".pth")} == PTH_FILES
    for part in ("/pip/", "/ensurepip/", "/site-packages/uv/", "/idlelib/", "lib/python3.11/test/"):
        assert [name for name in names if part in name] == [], part
    for folder in ("var/lib/apt", "var/cache", "root", "home", "build", "wheels"):
        assert not (image.files / folder).exists(), folder


def test_the_kubernetes_client_is_there_to_read_kubeconfig_alone(image: Image) -> None:
    """Its kinds and calls would be a third of the image; `test_rootfs.py` does without them."""
    parts = [name.partition("/site-packages/kubernetes/")[2] for name in _named(image)]
    generated = [one for one in parts if "client/models/" in one or "client/api/" in one]
    assert {Path(one).stem.partition(".")[0] for one in generated} == {"__init__"}
    assert "aio/config/kube_config.py" in parts


def test_what_is_installed_is_what_is_locked(image: Image) -> None:
    """Every distribution has the version of requirements/runtime.txt, and none is there besides ours."""
    site = image.files / "opt/spillway/lib/python3.11/site-packages"
    found = {
        tuple(path.name.removesuffix(".dist-info").lower().replace("_", "-").rsplit("-", 1))
        for path in site.glob("*.dist-info")
    }
    lines = (ROOT / "requirements/runtime.txt").read_text().splitlines()
    locked = {tuple(line.split(" ")[0].split("==")) for line in lines if "==" in line and not line.startswith(" ")}
    assert (PROJECT["name"], PROJECT["version"]) in found
    assert found - {(PROJECT["name"], PROJECT["version"])} <= locked
    only_elsewhere = {"colorama", "tzdata"}  # for Windows
    assert {name for name, _ in locked - found} <= only_elsewhere


def test_every_source_has_its_bytecode(image: Image) -> None:
    """The root cannot be written: what is not compiled would be compiled at every start."""
    package = image.files / "opt/spillway/lib/python3.11/site-packages/controller"
    sources = list(package.rglob("*.py"))
    assert len(sources) > 100
    missing = [path for path in sources if not (path.parent / "__pycache__" / f"{path.stem}.cpython-311.pyc").exists()]
    assert missing == []


def test_labels_say_what_it_is(image: Image) -> None:
    """Version and licence are those of pyproject.toml; the tag is the version."""
    assert image.labels["org.opencontainers.image.version"] == PROJECT["version"]
    assert image.labels["org.opencontainers.image.licenses"] == PROJECT["license"]
    assert {"org.opencontainers.image.title", "org.opencontainers.image.description"} <= set(image.labels)
    assert image.tags == (f"docker.io/spillway/{image.name}:{PROJECT['version']}",)


def test_scanners_see_the_debian_packages_and_their_licences(image: Image) -> None:
    """The C library has an entry in dpkg's folder for images without dpkg, and its copyright file."""
    assert "Package: libc6" in (image.files / "var/lib/dpkg/status.d/libc6").read_text()
    assert (image.files / "usr/share/doc/libc6/copyright").is_file()
    assert not (image.files / "var/lib/dpkg/status.d/bash").exists()


def test_both_images_share_the_layers_that_are_large(images: dict[str, Image]) -> None:
    """A node that has one fetches 4 KB for the other."""
    ops, sim = images["ops"].layers, images["engine-sim"].layers
    assert ops[:3] == sim[:3]
