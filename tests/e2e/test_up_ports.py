"""What listens while `spillway up` runs: each port that it needs, on the loopback, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from tests.e2e.stack import Stack, eventually, listening

LOOPBACK = "127.0.0.1"


def wanted(stack: Stack) -> Mapping[int, str]:
    """Two of the gateway, one each of the controller, the stand-in provider and every engine."""
    engines = [urlsplit(str(one["url"])) for one in stack.replicas()]
    ours = (stack.port, stack.admin_port, stack.controller_port, stack.standin_port)
    return dict.fromkeys(ours, LOOPBACK) | {url.port or 80: str(url.hostname) for url in engines}


def test_up_opens_its_own_ports_alone(stack: Stack) -> None:
    """All its processes counted, engines too, once every engine that it knows of has opened its own."""
    eventually(lambda: listening(stack.process) == wanted(stack), within_s=30)
    assert len(wanted(stack)) > 4
    assert set(wanted(stack).values()) == {LOOPBACK}
