"""What is checked before `spillway up` starts anything, so that a refusal leaves nothing running."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from controller.cli.errors import EXIT_USAGE, CliError
from controller.cli.overrides import ADMIN_PORT_DISTANCE, CONTROLLER_PORT_DISTANCE, STANDIN_PORT_DISTANCE
from controller.config.settings import Settings

HIGHEST_BASE_PORT = 65525


def check_ports(host: str, ports: Mapping[str, int]) -> None:
    """Refuses when two jobs want one port, or when somebody listens on it."""
    taken_by: dict[int, str] = {}
    for job, port in ports.items():
        if port in taken_by:
            raise CliError(
                f"{taken_by[port]} and {job} both want port {port}",
                fix="give them different ports in spillway.yaml",
                exit_code=EXIT_USAGE,
            )
        taken_by[port] = job
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise CliError(
                    f"cannot start the {job}: port {port} on {host} is not free ({error.strerror})",
                    fix="stop what listens there, or choose others: spillway up --port 9080",
                ) from error


def free_base_port() -> int:
    """A port that is free together with those at the fixed distances from it; CliError when none is found."""
    distances = (0, ADMIN_PORT_DISTANCE, CONTROLLER_PORT_DISTANCE, STANDIN_PORT_DISTANCE)
    for _ in range(50):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            base = int(probe.getsockname()[1])
        if base <= HIGHEST_BASE_PORT and all(_is_free(base + distance) for distance in distances):
            return base
    raise CliError("no free ports were found", fix="choose them: spillway up --port 9080")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def check_model_dirs(settings: Settings, engine: str) -> None:
    """For real engines: at least one pool names a model directory, and every one named is there."""
    if engine != "vllm":
        return
    named = {name: pool.model_dir for name, pool in settings.pools.items() if pool.model_dir}
    if not named and not any(pool.endpoints for pool in settings.pools.values()):
        raise CliError(
            "--engine vllm has nothing to serve: no pool names a model directory",
            fix="set pools.<name>.model_dir in spillway.yaml to a folder with config.json and weights",
            exit_code=EXIT_USAGE,
        )
    for name, folder in named.items():
        if not (Path(folder) / "config.json").is_file():
            raise CliError(
                f"pool {name}: model directory {folder} has no config.json",
                fix=f"correct pools.{name}.model_dir in spillway.yaml",
                exit_code=EXIT_USAGE,
            )
