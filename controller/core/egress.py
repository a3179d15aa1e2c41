"""Which addresses the gateway may connect to outside: a name of a provider must not lead into our own network.

Names are looked up by whoever connects; it asks here about each address and connects to that very one, so a name that
changes its mind between question and connection gains nothing.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")  # RFC 8215
_LOOPBACK = IPv6Address("::1")  # the library counts it among the reserved
_METADATA = frozenset({IPv4Address("169.254.169.254"), IPv6Address("fd00:ec2::254")})  # of clouds: credentials


def address_problem(address: str, *, private_allowed: bool = False) -> str | None:
    """Why this address may not be connected to, in words; None when it may.

    Public addresses may; private ones where an operator allowed it for the name; link-local ones, cloud metadata,
    multicast and reserved ones never.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return "is not an address"
    inner = _carried(found)
    if inner in _METADATA:
        return "is a cloud's metadata service"
    if inner.is_link_local or inner.is_multicast or inner.is_unspecified or (inner.is_reserved and inner != _LOOPBACK):
        return "is link-local, multicast or reserved"
    if not inner.is_global and not private_allowed:
        return "is not a public address"
    return None


def _carried(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one leads to by mapping or by tunnel, else itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or address in _LOCAL_NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
