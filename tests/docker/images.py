"""Images as `scripts/images.sh` makes them: archives whose configuration and files a test can read."""

from __future__ import annotations

import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
BUILD_S = 900  # from an empty cache on a busy machine; 10 s when one layer changed, 0.1 s when none did


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image: its name, the configuration that a runtime reads, and its files, unpacked."""

    name: str
    archive: Path
    tags: tuple[str, ...]
    layers: tuple[str, ...]  # digests, lowest first
    config: dict[str, object]
    files: Path

    @property
    def entrypoint(self) -> list[str]:
        """What runs, before any arguments."""
        return [str(word) for word in _list(self.config["Entrypoint"])]

    @property
    def environ(self) -> list[str]:
        """NAME=value, as the runtime sets them."""
        return [str(word) for word in _list(self.config["Env"])]

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the image."""
        labels = self.config["Labels"]
        assert isinstance(labels, dict)
        return labels


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def built(*names: str) -> dict[str, Path]:
    """The archives of these images, built if the tree has changed."""
    done = subprocess.run(
        [ROOT / "scripts" / "images.sh", *names], capture_output=True, text=True, timeout=BUILD_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name: Path(path) for name, path in (line.split(" ", 1) for line in done.stdout.splitlines())}


def unpacked(name: str, archive: Path, folder: Path) -> Image:
    """The image with its layers laid over each other in `folder`."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)  # the image's user must get in
    with tarfile.open(archive) as whole:
        (manifest,) = json.load(_member(whole, "manifest.json"))
        config = json.load(_member(whole, manifest["Config"]))
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=_member(whole, layer)) as files:
                files.extractall(folder, filter="fully_trusted")
    return Image(
        name=name,
        archive=archive,
        tags=tuple(manifest["RepoTags"]),
        layers=tuple(config["rootfs"]["diff_ids"]),
        config=config["config"],
        files=folder,
    )


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    member = archive.extractfile(name)
    assert member is not None, name
    return member
