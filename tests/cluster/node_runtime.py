"""What runs containers on the node: containerd in its own folders, the network of pods, the images of the suite."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.capsule import Capsule
from tests.cluster.commands import run
from tests.cluster.component import Component, until
from tests.cluster.errors import CommandFailed
from tests.cluster.image_archive import pack
from tests.cluster.programs import BUILT, built, installed

PAUSE_IMAGE = "localhost/spillway-test/pause:1"
ANSWER_IMAGE = "localhost/spillway-test/answer:1"
RUNTIME_S = 20.0
IMPORT_S = 300.0

# restrict_oom_score_adj: where the machine does not let us lower the score, every sandbox would die without it.
_CONFIG = """
version = 2
root = "{folder}/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/network"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """containerd, and the socket at which the kubelet and `ctr` find it."""

    component: Component
    socket: Path

    def until_ready(self) -> None:
        """It answers."""
        until(self._answers, within_s=RUNTIME_S, what="containerd answers", needs=[self.component])

    def import_image(self, archive: Path) -> None:
        """Pods can run the images of the archive (docker or OCI), with `imagePullPolicy: Never` or `IfNotPresent`."""
        run([*self._ctr, "images", "import", str(archive)], timeout_s=IMPORT_S)

    @property
    def _ctr(self) -> list[str]:
        return [installed("ctr"), f"--address={self.socket}", "--namespace=k8s.io"]

    def _answers(self) -> bool:
        try:
            return bool(run([*self._ctr, "version"], timeout_s=RUNTIME_S))
        except CommandFailed:
            return False


def runtime(folder: Path, capsule: Capsule) -> Runtime:
    """containerd, configured and not yet started."""
    (folder / "network").mkdir()
    (folder / "network" / "10-bridge.conflist").write_text(json.dumps(_network(folder, capsule), indent=2))
    socket, config = folder / "containerd.sock", folder / "containerd.toml"
    config.write_text(_CONFIG.format(folder=folder, socket=socket, pause=PAUSE_IMAGE, plugins=BUILT.resolve() / "cni"))
    for program in ("runc", "containerd-shim-runc-v2"):
        installed(program)
    for plugin in ("bridge", "host-local", "loopback", "portmap"):
        built(f"cni/{plugin}")
    component = Component(
        name="containerd",
        folder=folder,
        entered=capsule.entered,
        command=[installed("containerd"), f"--config={config}", "--log-level=warn"],
    )
    return Runtime(component=component, socket=socket)


def _network(folder: Path, capsule: Capsule) -> dict[str, object]:
    """One bridge; pods keep their addresses towards the machine, which knows the way to them."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": str(capsule.block.pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(folder / "addresses"),
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, ports]}


def import_own_images(running: Runtime, folder: Path) -> None:
    """The pause image, without which no pod starts, and the image of pods that answer."""
    for name, image in (("pause", PAUSE_IMAGE), ("answer", ANSWER_IMAGE)):
        archive = pack(Path(built(name)), image=image, into=folder / f"{name}.tar", machine=platform.machine())
        running.import_image(archive)
        archive.unlink()
