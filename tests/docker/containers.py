"""Containers by runc, which Docker and containerd use too.

The image's user and environment, a root that nobody can write, no capability, and a network of loopback alone.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.docker.images import Image

RUN_S = 60
STATE = "/var/lib/spillway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """How one image is run: the command's arguments, folders of the host laid into it, variables."""

    image: Image
    arguments: Sequence[str] = ()
    entrypoint: Sequence[str] | None = None  # instead of the image's
    read_only: Mapping[Path, str] = field(default_factory=dict)  # folder of the host -> place in the container
    writable: Mapping[Path, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    shm_mib: int = 64  # what Docker gives unless told

    def bundle(self, folder: Path) -> None:
        """`folder` has what runc starts this container from."""
        subprocess.run(["runc", "spec", "--bundle", folder], check=True, timeout=RUN_S)
        file = folder / "config.json"
        spec = json.loads(file.read_text())
        user, _, group = str(self.image.config["User"]).partition(":")
        entrypoint = self.image.entrypoint if self.entrypoint is None else self.entrypoint
        spec["process"] |= {
            "terminal": False,
            "user": {"uid": int(user), "gid": int(group)},
            "args": [*entrypoint, *self.arguments],
            "env": [*self.image.environ, *(f"{name}={value}" for name, value in self.environ.items())],
            "cwd": str(self.image.config["WorkingDir"]),
            "capabilities": {kind: [] for kind in ("bounding", "effective", "permitted", "ambient")},
            "noNewPrivileges": True,
        }
        spec["root"] = {"path": str(self.image.files), "readonly": True}
        spec["mounts"] += [_mount(source, place, "ro") for source, place in self.read_only.items()]
        spec["mounts"] += [_mount(source, place, "rw") for source, place in self.writable.items()]
        for mount in spec["mounts"]:
            if mount["destination"] == "/dev/shm":
                mount["options"] = [one for one in mount["options"] if "size=" not in one] + [f"size={self.shm_mib}m"]
        file.write_text(json.dumps(spec))


def _mount(source: Path, place: str, mode: str) -> dict[str, object]:
    return {"destination": place, "type": "bind", "source": str(source), "options": ["rbind", mode, "nosuid", "nodev"]}


def run(container: Container, folder: Path, timeout_s: float = RUN_S) -> subprocess.CompletedProcess[str]:
    """The container has run to its end; its exit status and what it wrote."""
    name = f"spillway-test-{uuid.uuid4().hex[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    container.bundle(folder)
    try:
        return subprocess.run(
            ["runc", "run", "--bundle", folder, name], capture_output=True, text=True, timeout=timeout_s, check=False
        )
    finally:
        subprocess.run(["runc", "delete", "--force", name], capture_output=True, timeout=RUN_S, check=False)


@contextmanager
def running(container: Container, folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The container runs; afterwards it is gone, however it ended. Gives its name (for `runc exec`) and its process."""
    name = f"spillway-test-{uuid.uuid4().hex[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    container.bundle(folder)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["runc", "run", "--bundle", folder, name], stdout=log, stderr=log, text=True)
    try:
        yield name, process
    finally:
        subprocess.run(["runc", "delete", "--force", name], capture_output=True, timeout=RUN_S, check=False)
        process.wait(RUN_S)
