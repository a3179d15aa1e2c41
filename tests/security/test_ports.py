"""Which process listens where: callers' port where they are, everything else on the loopback unless told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from controller.config.settings import ControllerSettings, GatewaySettings
from controller.engine_sim.arguments import build_parser
from tests.faults import gateway_process
from tests.faults.gateway_process import GatewayProcess, Setup

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"


def listening(gateway: GatewayProcess) -> Mapping[int, str]:
    """Addresses by port."""
    connections = psutil.Process(gateway.process.pid).net_connections(kind="inet")
    return {one.laddr.port: one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN}


@pytest.mark.parametrize(
    ("settings", "callers", "admin"),
    [
        pytest.param({}, LOOPBACK, LOOPBACK, id="as it comes"),
        pytest.param({"host": EVERYWHERE}, EVERYWHERE, LOOPBACK, id="open to callers"),
        pytest.param({"admin_host": "127.0.0.2"}, LOOPBACK, "127.0.0.2", id="admin told"),
    ],
)
def test_ports_of_the_gateway(tmp_path: Path, settings: Mapping[str, str], callers: str, admin: str) -> None:
    """Two, no more: opening the one to callers does not open the other, which may be told an address of its own."""
    gateway = gateway_process.start(tmp_path, Setup(engines=["http://127.0.0.1:9"], changes={"gateway": settings}), "k")

    async def up() -> None:
        async with asyncio.timeout(30):
            while len(listening(gateway)) < 2:
                assert gateway.process.poll() is None, gateway.log.read_text()
                await asyncio.sleep(0.05)

    try:
        asyncio.run(up())
        assert listening(gateway) == {gateway.port: callers, gateway.admin_port: admin}
    finally:
        gateway.stop()


def test_ports_of_the_others() -> None:
    """Controller, simulated engines, and both ports of the gateway are on the loopback unless told."""
    gateway = GatewaySettings()
    assert {gateway.host, gateway.admin_host, ControllerSettings().host} == {LOOPBACK}
    assert build_parser().get_default("host") == LOOPBACK
    assert len({gateway.port, gateway.admin_port, ControllerSettings().port}) == 3
