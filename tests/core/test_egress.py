"""Where the gateway may connect to: public addresses, private ones by leave, metadata never."""

from __future__ import annotations

import pytest

from controller.core.egress import address_problem

PUBLIC = ["104.18.6.192", "2606:4700::6812:6c0", "64:ff9b::6812:6c0"]
PRIVATE = ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd12:3456::1", "::ffff:10.1.2.3",
           "2002:0a01:0203::1", "64:ff9b::a01:203", "64:ff9b:1::a01:203"]  # fmt: skip
NEVER = ["169.254.169.254", "169.254.0.1", "fd00:ec2::254", "fe80::1%eth0", "224.0.0.1", "0.0.0.0", "::", "240.0.0.1",
         "::ffff:169.254.169.254", "2002:a9fe:a9fe::1", "64:ff9b::a9fe:a9fe", "ff02::1", "nonsense",
         "2001:0:4136:e378:8000:63bf:5601:5601"]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    """May be connected to."""
    assert address_problem(address) is None


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address: str) -> None:
    """Only where an operator allowed it, however they are wrapped."""
    assert address_problem(address) is not None
    assert address_problem(address, private_allowed=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_what_nobody_may_allow(address: str) -> None:
    """Metadata services, link-local and reserved addresses, however they are wrapped."""
    assert address_problem(address, private_allowed=True) is not None
