"""Reading the configuration again: which files are news, what becomes of a good one and of a bad one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from controller.adapters.config_file import ConfigFile
from controller.cli.reload import Reload
from controller.config.changes import Adoption, adopt
from controller.config.load import load_settings
from controller.config.settings import Settings
from controller.telemetry.config_metrics import ReloadResult
from controller.telemetry.gateway_metrics import registry_of, render

TODAY = date(2026, 11, 26)
GOOD = "tenants: {acme: {requests_per_min: 60}}\n"
BETTER = "tenants: {acme: {requests_per_min: 90}}\n"
BAD = "tenants: {acme: {requests_per_minute: 60}}\npools: {}\n"
LOOK_S = 0.01


def looked(file: ConfigFile) -> list[bool]:
    """Three looks."""
    return [file.has_changed() for _ in range(3)]


def test_the_same_file_is_no_news(tmp_path: Path) -> None:
    """However often it is looked at."""
    path = tmp_path / "spillway.yaml"
    path.write_text(GOOD)
    assert looked(ConfigFile(path)) == [False, False, False]


def test_another_file_is_news_once(tmp_path: Path) -> None:
    """Written in place or put in place of the old one: at the second look that finds it."""
    path = tmp_path / "spillway.yaml"
    path.write_text(GOOD)
    file = ConfigFile(path)
    path.write_text(BETTER + "# longer\n")
    assert looked(file) == [False, True, False]
    draft = tmp_path / "draft"
    draft.write_text(GOOD)
    draft.replace(path)
    assert looked(file) == [False, True, False]


def test_a_file_that_is_away_for_a_moment_is_no_news(tmp_path: Path) -> None:
    """An editor takes the old one away before it puts the new one in place; one that stays away is."""
    path = tmp_path / "spillway.yaml"
    path.write_text(GOOD)
    file = ConfigFile(path)
    path.unlink()
    assert file.has_changed() is False
    path.write_text(BETTER)
    assert looked(file) == [False, True, False]
    path.unlink()
    assert looked(file) == [False, True, False]


def test_a_mounted_configmap_is_swapped_by_a_link(tmp_path: Path) -> None:
    """The file is a link to `..data/spillway.yaml`, and `..data` one to a folder of each version."""
    for version, text in (("..1", GOOD), ("..2", BETTER)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "spillway.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "spillway.yaml").symlink_to("..data/spillway.yaml")
    file = ConfigFile(tmp_path / "spillway.yaml")
    assert looked(file) == [False, False, False]
    (tmp_path / "..data_tmp").symlink_to("..2")
    os.replace(tmp_path / "..data_tmp", tmp_path / "..data")
    assert looked(file) == [False, True, False]


class Process:
    """A process with settings, which takes others."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = self.load()
        self.taken: list[Adoption] = []
        self.reload = Reload(self.load, self.take, has_changed=ConfigFile(path).has_changed, look_s=LOOK_S)

    def load(self) -> Settings:
        """What the file says."""
        return load_settings(self.path, {}, today=TODAY)

    def take(self, new: Settings) -> Adoption:
        """From now on."""
        adoption = adopt(self.settings, new)
        self.settings = adoption.settings
        self.taken.append(adoption)
        return adoption

    def count(self, result: ReloadResult) -> int:
        """How often it came to that."""
        return self.reload.metrics.reloads[result]

    @property
    def limit(self) -> int | None:
        """What acme may ask per minute."""
        return self.settings.tenants["acme"].requests_per_min


@pytest.fixture
def process(tmp_path: Path) -> Process:
    """With a good file."""
    path = tmp_path / "spillway.yaml"
    path.write_text(GOOD)
    return Process(path)


def page_of(process: Process) -> str:
    """What a scrape would get."""
    return render(registry_of(process.reload.metrics)).decode()


async def until(true: Callable[[], bool]) -> None:
    """Returns once it is; TimeoutError when that takes too long."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(LOOK_S)


Step = tuple[Callable[[], object], Callable[[], bool]]  # what is done, and what it comes to


def played(process: Process, *steps: Step) -> None:
    """While the process watches its file: each step, until what it comes to is seen."""

    async def main() -> None:
        watching = asyncio.create_task(process.reload.run())
        try:
            for step, seen in steps:
                step()
                await until(seen)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(main())


def test_a_changed_file_is_taken_over(process: Process) -> None:
    """Without a signal, and the log says what has changed."""
    with capture_logs() as logs:
        played(process, (lambda: process.path.write_text(BETTER), lambda: process.limit == 90))
    applied = [entry for entry in logs if entry["event"] == "config_applied"]
    assert [entry["changed"] for entry in applied] == [("tenants.acme",)]
    assert process.reload.metrics.valid
    assert process.count(ReloadResult.APPLIED) == 1


def test_a_bad_file_leaves_the_old_one_in_force_and_names_all_that_is_wrong(process: Process) -> None:
    """By metric and log; once it is mended the new one holds."""
    pages: list[str] = []
    with capture_logs() as logs:
        played(
            process,
            (lambda: process.path.write_text(BAD), lambda: process.count(ReloadResult.REFUSED) == 1),
            (lambda: pages.append(page_of(process)), lambda: process.limit == 60),
            (lambda: process.path.write_text(BETTER), lambda: process.limit == 90),
        )
    [refused] = [entry for entry in logs if entry["event"] == "config_refused"]
    assert refused["count"] == 2
    assert any("requests_per_minute" in told for told in refused["problems"])
    assert "spillway_config_valid 0.0" in pages[0]
    assert 'spillway_config_reloads_total{result="refused"} 1.0' in pages[0]
    assert "spillway_config_valid 1.0" in page_of(process)
    assert len(process.taken) == 1


def test_a_file_that_is_gone_leaves_the_old_one_in_force(process: Process) -> None:
    """The same: nothing falls back to the built-in configuration by accident."""
    played(process, (process.path.unlink, lambda: process.count(ReloadResult.REFUSED) == 1))
    assert (process.limit, process.reload.metrics.valid) == (60, False)


def test_told_to_it_reads_a_file_that_has_not_changed(process: Process) -> None:
    """Which changes nothing."""
    played(process, (process.reload.ask, lambda: process.count(ReloadResult.UNCHANGED) == 1))
    assert process.count(ReloadResult.APPLIED) == 0
    assert process.reload.metrics.valid


def test_what_cannot_change_is_named_in_the_log(process: Process) -> None:
    """A port is bound at the start."""
    with capture_logs() as logs:
        played(
            process,
            (
                lambda: process.path.write_text(GOOD + "gateway: {port: 9000}\n"),
                lambda: process.count(ReloadResult.UNCHANGED) == 1,
            ),
        )
    [kept] = [entry for entry in logs if entry["event"] == "config_kept"]
    assert kept["settings"] == ("gateway.port",)


def test_a_defect_ends_its_reload_only(process: Process) -> None:
    """The process goes on by the old configuration, and reads the next file."""

    def broken(new: Settings) -> Adoption:
        raise RuntimeError(new.phase)

    def mend() -> None:
        process.reload._take = process.take
        process.reload.ask()

    process.reload._take = broken
    with capture_logs() as logs:
        played(
            process,
            (process.reload.ask, lambda: process.count(ReloadResult.REFUSED) == 1),
            (mend, lambda: process.count(ReloadResult.UNCHANGED) == 1),
        )
    assert [entry["event"] for entry in logs] == ["config_refused"]
