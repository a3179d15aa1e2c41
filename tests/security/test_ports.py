"""Which process listens where: callers' port where they are, everything else on the loopback unless told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from controller.config.settings import ControllerSettings, GatewaySettings
from controller.engine_sim.arguments import build_parser
from tests.e2e.stack import free_ports, listening
from tests.engine_sim.sim_servers import eventually, running_engine, running_provider
from tests.faults import gateway_process
from tests.faults.gateway_process import Setup, configuration

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"


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
            while len(listening(gateway.process)) < 2:
                assert gateway.process.poll() is None, gateway.log.read_text()
                await asyncio.sleep(0.05)

    try:
        asyncio.run(up())
        assert listening(gateway.process) == {gateway.port: callers, gateway.admin_port: admin}
    finally:
        gateway.stop()


def test_what_the_settings_say_of_the_others() -> None:
    """Controller, simulated engines, and both ports of the gateway are on the loopback unless told."""
    gateway = GatewaySettings()
    assert {gateway.host, gateway.admin_host, ControllerSettings().host} == {LOOPBACK}
    assert build_parser().get_default("host") == LOOPBACK
    assert len({gateway.port, gateway.admin_port, ControllerSettings().port}) == 3


def test_ports_of_a_controller(tmp_path: Path) -> None:
    """One, on the loopback, and none of what it runs."""
    (port,) = free_ports(1)
    file = tmp_path / "spillway.yaml"
    setup = Setup(engines=["http://127.0.0.1:9"], changes={"controller": {"port": port}})
    file.write_text(json.dumps(configuration(setup, free_ports(2))))
    command = [sys.executable, "-m", "controller.cli.main", "controller", "-c", str(file), "--state-dir", str(tmp_path)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        eventually(lambda: process.poll() is None and listening(process), within_s=20)
        time.sleep(0.3)  # what else it opens in its first ticks
        assert listening(process) == {port: LOOPBACK}
    finally:
        process.terminate()
        process.wait(15)


def test_ports_of_a_simulated_engine() -> None:
    """One, on the loopback."""
    with running_engine() as engine:
        assert listening(engine.process) == {engine.port: LOOPBACK}


def test_ports_of_a_simulated_provider() -> None:
    """One, on the loopback."""
    with running_provider() as standin:
        assert listening(standin.process) == {standin.port: LOOPBACK}
