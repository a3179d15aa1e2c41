"""The addresses of a whole cluster: a block of 198.18.0.0/15, kept for tests by RFC 2544: nobody's."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

RESERVED = ipaddress.IPv4Network("198.18.0.0/15")
BLOCK_PREFIX = 20
BLOCKS = 2 ** (BLOCK_PREFIX - RESERVED.prefixlen)


@dataclass(frozen=True, kw_only=True)
class Block:
    """4,096 addresses: a line to the machine (.0.0/24), Services (.4.0/22) and pods (.8.0/21)."""

    number: int

    @property
    def whole(self) -> ipaddress.IPv4Network:
        """All of it; the machine reaches it through the node."""
        size = 2 ** (32 - BLOCK_PREFIX)
        return ipaddress.IPv4Network((int(RESERVED.network_address) + self.number * size, BLOCK_PREFIX))

    @property
    def line(self) -> ipaddress.IPv4Network:
        """The line between the machine and the node."""
        return next(self.whole.subnets(new_prefix=24))

    @property
    def machine(self) -> str:
        """This machine, as the cluster sees it: what a test listens on here, pods reach there."""
        return str(self.line[1])

    @property
    def node(self) -> str:
        """The node, as this machine sees it."""
        return str(self.line[2])

    @property
    def services(self) -> ipaddress.IPv4Network:
        """ClusterIPs; the first is the API's."""
        return list(self.whole.subnets(new_prefix=22))[1]

    @property
    def pods(self) -> ipaddress.IPv4Network:
        """Pods of the node."""
        return list(self.whole.subnets(new_prefix=21))[1]
