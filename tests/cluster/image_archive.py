"""Packs one static program into an image archive that `ctr images import` and `docker load` take."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
UNPRIVILEGED = "65532:65532"


def pack(program: Path, *, image: str, into: Path, machine: str) -> Path:
    """The archive `into` holds `image`: the program at /NAME as its entrypoint, run by a user without rights."""
    layer = _tar({program.name: (program.read_bytes(), 0o755)})
    config = json.dumps(
        {
            "architecture": ARCHITECTURES[machine],
            "os": "linux",
            "config": {"Entrypoint": [f"/{program.name}"], "User": UNPRIVILEGED},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": [image], "Layers": ["layer.tar"]}]).encode()
    into.write_bytes(_tar({"manifest.json": (manifest, 0o644), name: (config, 0o644), "layer.tar": (layer, 0o644)}))
    return into


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
