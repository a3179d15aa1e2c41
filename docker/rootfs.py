"""Collects what one Python environment needs to run, for a final stage that starts from nothing.

Run while an image is built, by the base image's own Python (standard library only):
    rootfs.py base ROOT VENV           the interpreter, its libraries, certificates, VENV with what is installed by now
    rootfs.py package ROOT VENV NAME   the distribution NAME alone, so that our code is a layer of its own
Nothing else of the base image comes along: no shell, no package manager, no compiler, no file with the setuid bit.
"""

from __future__ import annotations

import os
import py_compile
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions
from pathlib import Path

UID = 10001
# Parts of the standard library that nothing that serves imports: 30 MB, and an installer.
LEFT_OUT = re.compile(
    r"(__pycache__|config-3.*|distutils|dist-packages|ensurepip|idlelib|lib2to3|pydoc_data|site-packages|"
    r"sitecustomize\.py|test|tests|tkinter|turtle\.py|turtledemo|venv|_test.*\.so|_ctypes_test.*|_tkinter.*|_xx.*|xx.*)"
)
# The kinds and calls of the Kubernetes client: 120 MB with their bytecode, and kubeconfig is read without any of them.
UNUSED = re.compile(r".*/site-packages/kubernetes/(aio/)?client/(api|models)/(?!__init__\.py).*")
PASSWD = f"root:x:0:0:root:/root:/sbin/nologin\nspillway:x:{UID}:{UID}:spillway:/var/lib/spillway:/sbin/nologin\n"
GROUP = f"root:x:0:\nspillway:x:{UID}:\n"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class Rootfs:
    """A folder that becomes the root of an image; every file lies in it where it lay in the base."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sources: set[Path] = set()
        for name in ("bin", "lib", "lib64", "sbin"):  # where /lib leads to usr/lib, it does so in the image too
            link = Path("/", name)
            if link.is_symlink() and not (root / name).is_symlink():
                root.mkdir(parents=True, exist_ok=True)
                (root / name).symlink_to(link.readlink())

    def target(self, path: Path) -> Path:
        """The place of an absolute path in the image, its folder made."""
        place = self.root / path.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def add(self, path: Path) -> None:
        """The file is in the image, and what it leads to if it is a link."""
        path = Path(os.path.realpath(path.parent), path.name)
        if path in self.sources:
            return
        self.sources.add(path)
        place = self.target(path)
        if path.is_symlink():
            leads_to = path.readlink()
            if not os.path.lexists(place):
                place.symlink_to(leads_to)
            self.add(path.parent / leads_to)
        else:
            shutil.copyfile(path, place)
            place.chmod(0o755 if os.access(path, os.X_OK) else 0o644)

    def add_all(self, paths: Iterable[Path]) -> None:
        """All of them are in the image."""
        for path in paths:
            self.add(path)

    def write(self, path: str, text: str) -> None:
        """The image has a file of ours."""
        self.target(Path(path)).write_text(text)

    def folder(self, path: str, mode: int, owner: int = 0) -> None:
        """The image has an empty folder."""
        place = self.target(Path(path))
        place.mkdir(exist_ok=True)
        place.chmod(mode)
        os.chown(place, owner, owner)


def files_below(folder: Path, left_out: re.Pattern[str] | None = None) -> Iterator[Path]:
    """Every file and link below, in one order whatever the file system says."""
    for path in sorted(folder.iterdir()):
        if left_out is not None and left_out.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from files_below(path, left_out)
        elif not path.is_dir():
            yield path


def installed_below(venv: Path) -> Iterator[Path]:
    """Every file that is installed there, but for caches, scripts and what nothing of ours imports."""
    found = files_below(venv, re.compile(r"__pycache__|bin"))
    return (path for path in found if not UNUSED.fullmatch(str(path)))


def shared_libraries(files: Iterable[Path]) -> set[Path]:
    """What the loader would map for these programs and modules; the build stops where one would be missing."""
    binaries = [str(path) for path in files if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]
    # ldd exits 1 for a file that is no dynamic object; what counts is what it prints.
    told = subprocess.run(["ldd", *binaries], check=False, capture_output=True, text=True).stdout
    if missing := sorted({line.strip() for line in told.splitlines() if line.endswith("not found")}):
        sys.exit("rootfs.py: shared libraries are missing in the base image: " + "; ".join(missing))
    return {Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", told, flags=re.MULTILINE)}


def compile_all(root: Path, files: Iterable[Path]) -> None:
    """Bytecode stands beside every source, as the image's root is read-only; it bears no date."""
    for path in files:
        place = root / path.relative_to("/")
        if path.suffix != ".py" or not place.is_file():
            continue
        try:
            py_compile.compile(
                str(place),
                dfile=str(path),
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        except py_compile.PyCompileError:
            continue  # a template or a file for another version of Python, which its package never imports


def add_packages(rootfs: Rootfs, database: Path = Path("/var/lib/dpkg")) -> None:
    """Scanners see the Debian packages that files came from, and their licences come along."""
    if not (database / "status").is_file():
        return
    owners: set[str] = set()
    for listing in sorted((database / "info").glob("*.list")):
        listed = {
            os.path.realpath(Path(line).parent) + "/" + Path(line).name
            for line in listing.read_text().split("\n")
            if line
        }
        if not listed.isdisjoint(map(str, rootfs.sources)):
            owners.add(listing.stem.partition(":")[0])
    for paragraph in (database / "status").read_text().split("\n\n"):
        name = paragraph.partition("\n")[0].removeprefix("Package: ")
        if name in owners:
            rootfs.write(f"/var/lib/dpkg/status.d/{name}", paragraph.strip() + "\n")
            licence = Path("/usr/share/doc", name, "copyright")
            if licence.is_file():
                rootfs.write(str(licence), licence.read_text(errors="replace"))


def base(root: Path, venv: Path) -> None:
    """ROOT can run VENV's Python and has nothing else of the base image."""
    rootfs = Rootfs(root)
    stdlib = Path(sysconfig.get_path("stdlib"))
    programs = [path for path in files_below(venv / "bin") if path.name.startswith("python")]  # no other's scripts
    installed = [
        *files_below(stdlib, LEFT_OUT),
        *installed_below(venv),
        *programs,
    ]
    rootfs.add_all(installed)
    rootfs.add(Path(sys.executable))
    libraries = shared_libraries(sorted(rootfs.sources))
    rootfs.add_all(sorted(path for path in libraries if venv not in path.parents))
    compile_all(root, installed)
    verify = ssl.get_default_verify_paths()
    rootfs.add(CERTIFICATES)
    if not os.path.lexists(rootfs.target(Path(verify.openssl_cafile))):
        rootfs.target(Path(verify.openssl_cafile)).symlink_to(CERTIFICATES)
    add_packages(rootfs)
    rootfs.write("/etc/passwd", PASSWD)
    rootfs.write("/etc/group", GROUP)
    rootfs.write("/etc/nsswitch.conf", "hosts: files dns\n")
    own = {str(path.parent) for path in libraries if venv not in path.parents}
    rootfs.write("/etc/ld.so.conf", "".join(f"{folder}\n" for folder in sorted(own)))
    subprocess.run(["ldconfig", "-X", "-r", str(root)], check=True)
    rootfs.folder("/tmp", 0o1777)  # noqa: S108  # a folder of the image
    rootfs.folder("/var/lib/spillway", 0o700, UID)


def package(root: Path, venv: Path, name: str) -> None:
    """ROOT has the files of one installed distribution and its bytecode."""
    site = venv / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    found = [one for one in distributions(path=[str(site)]) if one.metadata["Name"] == name]
    if len(found) != 1:
        sys.exit(f"rootfs.py: {venv} has {len(found)} distributions named {name}, must be one")
    files = sorted(Path(os.path.abspath(str(one.locate()))) for one in found[0].files or () if one.suffix != ".pyc")
    rootfs = Rootfs(root)
    rootfs.add_all(files)
    compile_all(root, files)


def main() -> None:
    """What the arguments ask for."""
    job, root, venv = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    os.umask(0o022)
    if job == "base":
        base(root, venv)
    else:
        package(root, venv, sys.argv[4])


if __name__ == "__main__":
    main()
