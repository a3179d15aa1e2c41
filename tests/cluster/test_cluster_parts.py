"""The parts of the harness that need no cluster: addresses, archives, ports, and what is asked of the machine."""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.cluster.__main__ import exports
from tests.cluster.blocks import BLOCKS, RESERVED, Block
from tests.cluster.component import Component, until
from tests.cluster.errors import DidNotStart, MissingTool
from tests.cluster.image_archive import pack
from tests.cluster.ports import HIGHEST, LOWEST, free_ports
from tests.cluster.programs import built, installed


def test_blocks_never_meet() -> None:
    """No address is in two blocks, all are for tests, and in a block line, Services and pods have their own."""
    blocks = [Block(number=number) for number in range(BLOCKS)]
    assert sum(block.whole.num_addresses for block in blocks) == RESERVED.num_addresses
    assert len({block.whole for block in blocks}) == BLOCKS
    for block in blocks:
        parts = (block.line, block.services, block.pods)
        assert all(part.subnet_of(block.whole) and block.whole.subnet_of(RESERVED) for part in parts)
        assert not any(one.overlaps(other) for one in parts for other in parts if one is not other)
        assert {ipaddress.IPv4Address(block.machine), ipaddress.IPv4Address(block.node)} <= set(block.line.hosts())


def test_what_a_shell_evaluates_holds_in_any_folder() -> None:
    """Blanks and quotes in a path stay what they are."""
    odd = Path("/tmp/it's a clone/tools")
    script = 'eval "$1"; printf "%s\n" "$KUBECONFIG" "$PATH"'
    said = subprocess.run(
        ["/bin/sh", "-c", script, "sh", exports({"KUBECONFIG": f"{odd}/kubeconfig"}, odd)],
        env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=10, check=True,
    )  # fmt: skip
    assert said.stdout.splitlines() == [f"{odd}/kubeconfig", f"{odd}:/usr/bin:/bin"]


def test_an_archive_holds_one_program_and_no_rights(tmp_path: Path) -> None:
    """The image starts the program, as a user that is not root, and its layer is the one its config names."""
    program = tmp_path / "pause"
    program.write_bytes(b"#!")
    archive = pack(program, image="localhost/one:1", into=tmp_path / "one.tar", machine="x86_64")
    with tarfile.open(archive) as opened:
        files = {name: opened.extractfile(name) for name in opened.getnames()}
        read = {name: file.read() for name, file in files.items() if file is not None}
    (manifest,) = json.loads(read["manifest.json"])
    config = json.loads(read[manifest["Config"]])
    assert manifest["RepoTags"] == ["localhost/one:1"]
    assert config["config"]["Entrypoint"] == ["/pause"]
    assert config["config"]["User"].split(":")[0] not in ("", "0", "root")
    assert config["architecture"] == "amd64"


def test_free_ports_are_free_and_never_lent_to_outgoing_connections() -> None:
    """A port that somebody listens on is not drawn, and all are different."""
    drawn = free_ports(5)
    assert len(set(drawn)) == 5
    assert all(LOWEST <= port < HIGHEST for port in drawn)
    for port in drawn:
        with socket.socket() as line:
            line.bind(("127.0.0.1", port))


def test_a_component_that_ends_early_says_why(tmp_path: Path) -> None:
    """Waiting ends at once, with the last words of its log."""
    component = Component(name="short", command=["sh", "-c", "echo no such luck; exit 3"], folder=tmp_path)
    component.start()
    with pytest.raises(DidNotStart, match=r"short ended before the sun rises(.|\n)*no such luck"):
        until(lambda: False, within_s=20, what="the sun rises", needs=[component])


def test_a_component_stands_still_goes_on_and_ends(tmp_path: Path) -> None:
    """Frozen it is there and says nothing; thawed it goes on; stopped it is gone; it starts again."""
    component = Component(
        name="clock", command=["sh", "-c", "while :; do echo tick; sleep 0.02; done"], folder=tmp_path
    )
    component.start()
    until(lambda: "tick" in component.tail(), within_s=10, what="it ticks", needs=[component])
    component.freeze()
    program = component.program()
    assert program is not None
    until(lambda: program.status() == "stopped", within_s=10, what="it stands still", needs=[component])
    assert component.is_running()
    component.thaw()
    until(lambda: program.status() != "stopped", within_s=10, what="it goes on", needs=[component])
    component.restart()
    assert component.is_running()
    component.kill()
    assert not component.is_running()


@pytest.mark.parametrize(
    ("find", "words"),
    [(built, "scripts/cluster-tools.sh"), (installed, "scripts/install-system.sh cluster")],
)
def test_a_missing_tool_is_an_error_that_names_its_remedy(find: object, words: str) -> None:
    """Nothing is skipped: who lacks a tool reads which command brings it."""
    assert callable(find)
    with pytest.raises(MissingTool, match=words):
        find("no-such-tool")
