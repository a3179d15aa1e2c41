"""Namespaces of a cluster's own: network, mounts and processes, held by one process.

Bridges, veths, iptables chains, sandboxes and mounts of a cluster are in here and not on the machine, so several
clusters do not meet; and when the one process dies, by `remove` or by accident, the kernel removes all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.blocks import BLOCKS, Block
from tests.cluster.commands import run
from tests.cluster.component import Component, until
from tests.cluster.errors import ClusterError, CommandFailed
from tests.cluster.programs import built, installed

OPEN_S = 10.0
CABLE = "spillway"

# Inside, standard paths lead into the cluster's folder or to memory, so that nothing is written beside it. The kubelet
# finds the settings of the kernel that it wants (overcommit, what a panic does) in files of ours: it would set them for
# the whole machine.
_FURNISH = """
set -eu
folder="$1" machine="$2" node="$3"
mount --make-rprivate /
mkdir -p "$folder/kubelet" "$folder/logs"
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir /run/lock /run/netns /var/lib/kubelet
mount --bind "$folder/kubelet" /var/lib/kubelet
mount --bind "$folder/logs" /var/log
mkdir /run/settings
while read -r setting value; do
  echo "$value" >"/run/settings/$setting"
  mount --bind "/run/settings/$setting" "/proc/sys/$(echo "$setting" | tr . /)"
done <<SETTINGS
kernel.keys.root_maxbytes 25000000
kernel.keys.root_maxkeys 1000000
kernel.panic 10
kernel.panic_on_oops 1
vm.overcommit_memory 1
vm.panic_on_oom 0
SETTINGS
mount --make-rshared /
ip link set lo up
ip address add "$node/24" dev eth0
ip link set eth0 up
ip route add default via "$machine"
echo 1 >/proc/sys/net/ipv4/ip_forward
for table in iptables ip6tables; do
  echo 1 >"/proc/sys/net/bridge/bridge-nf-call-$table"
done
"""


@dataclass(frozen=True, kw_only=True)
class Capsule:
    """Namespaces that are there. `entered`: the words that start a program inside."""

    block: Block
    holder: Component
    entered: Sequence[str]

    def run(self, *words: str) -> str:
        """What the command printed inside."""
        return run([*self.entered, *words])


def _cable(pid: int) -> Block:
    """One end of a cable is on the machine, under the number of the block, the other is eth0 inside.

    The kernel has each name once, so two clusters that start at the same time do not get the same block.
    """
    for number in range(BLOCKS):
        block, name = Block(number=number), f"{CABLE}{number}"
        try:
            _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        except CommandFailed as error:
            if "File exists" not in str(error):
                raise
            continue
        _ip("address", "add", f"{block.machine}/24", "dev", name)
        _ip("link", "set", name, "up")
        _ip("route", "add", str(block.whole), "via", block.node, "dev", name)
        return block
    raise ClusterError(f"all {BLOCKS} blocks of addresses are in use: python -m tests.cluster list shows by whom")


def _ip(*words: str) -> None:
    run([installed("ip"), *words])


def open_capsule(folder: Path) -> Capsule:
    """Furnished namespaces with a line to the machine."""
    holder = Component(
        name="holder",
        folder=folder,
        command=[built("pause")],
        entered=[
            *(installed("unshare"), "--net", "--mount", "--pid", "--fork", "--mount-proc"),
            *("--propagation", "private", "--kill-child"),
        ],
    )
    holder.start()
    until(lambda: _is_inside(holder), within_s=OPEN_S, what="the namespaces are there", needs=[holder])
    first = holder.program()
    assert first is not None
    entered = [installed("nsenter"), f"--target={first.pid}", "--net", "--mount", "--pid", "--"]
    block = _cable(first.pid)
    run([*entered, "/bin/sh", "-c", _FURNISH, "furnish", str(folder), block.machine, block.node])
    return Capsule(block=block, holder=holder, entered=entered)


def _is_inside(holder: Component) -> bool:
    first = holder.program()
    return first is not None and first.name() == "pause"
