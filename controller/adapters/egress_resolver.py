"""Looks up the names of providers and gives away no address that may not be connected to.

The connection goes to the very address that was looked at, so a name that changes its mind in between gains nothing.
An address literal in the configuration is an operator's word and is not looked up.
"""

from __future__ import annotations

import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from controller.adapters.name_lookup import NameLookup
from controller.core.egress import address_problem


class NotAllowed(Exception):
    """A name leads nowhere that the gateway may go."""


class EgressResolver(AbstractResolver):
    """The system's resolver behind `core.egress`. `private_hosts`: names that may lead to private addresses."""

    def __init__(self, private_hosts: frozenset[str], names: NameLookup | None = None) -> None:
        self.private_hosts = private_hosts
        self._names = names or NameLookup()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every address of the name that may be connected to; NotAllowed when it has none but others."""
        allowed: list[ResolveResult] = []
        problem = "has no address"
        for kind, protocol, ip in await self._names.find(host):
            why = address_problem(ip, private_allowed=host in self.private_hosts)
            if why is not None:
                problem = f"leads to {ip}, which {why}"
            elif family in (socket.AF_UNSPEC, kind):
                allowed.append(
                    ResolveResult(
                        hostname=host, host=ip, port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
                    )
                )
        if not allowed:
            raise NotAllowed(f"{host} {problem}")
        return allowed

    async def close(self) -> None:
        """Nothing is open."""
