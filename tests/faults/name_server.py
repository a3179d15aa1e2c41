"""A name server of ours, and how a process of its own comes to ask it alone: by a resolv.conf of its own."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

PORT = 53  # a resolv.conf names no other
_ANSWER, _NO_ERROR, _NO_SUCH_NAME = 0x8180, 0, 3
_A = 1
_BIND = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """Answers over UDP with what `addresses` says now; unknown names are none, `silent` ones hear nothing."""

    address: str
    addresses: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    is_mute: bool = False  # no name hears anything
    asked: list[str] = field(default_factory=list)
    _transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It may answer."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """One question, one answer; no answer of theirs may be kept."""
        name, end = _name(data)
        kind = struct.unpack_from("!H", data, end)[0]
        if kind == _A:
            self.asked.append(name)
        if self.is_mute or name in self.silent:
            return
        address = self.addresses.get(name)
        code = _NO_SUCH_NAME if address is None else _NO_ERROR
        answers = b""
        if address is not None and kind == _A:
            answers = struct.pack("!HHHIH", 0xC00C, _A, 1, 0, 4) + socket.inet_aton(address)
        head = data[:2] + struct.pack("!HHHHH", _ANSWER | code, 1, bool(answers), 0, 0)
        assert self._transport is not None
        self._transport.sendto(head + data[12 : end + 4] + answers, addr)

    def wrapper(self, folder: Path) -> tuple[str, ...]:
        """The command in front of one that is to ask this server and no other."""
        file = folder / "resolv.conf"
        file.write_text(f"nameserver {self.address}\n")
        return ("unshare", "--mount", "--propagation", "private", "sh", "-c", _BIND, str(file))


def _name(data: bytes) -> tuple[str, int]:
    """The name that is asked for, and where it ends."""
    labels, at = [], 12
    while size := data[at]:
        labels.append(data[at + 1 : at + 1 + size].decode("ascii").lower())
        at += 1 + size
    return ".".join(labels), at + 1


@contextlib.asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    """A running one, on a loopback address that nobody else has."""
    loop = asyncio.get_running_loop()
    numbers = (str(random.SystemRandom().randrange(1, 255)) for _ in range(3))
    made = NameServer(".".join(("127", *numbers)))
    transport, _ = await loop.create_datagram_endpoint(lambda: made, (made.address, PORT))
    try:
        yield made
    finally:
        transport.close()
