"""The operators' file: two writers lose nothing, a broken file changes nothing, and every change can be undone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.spec_files import SpecFiles
from controller.core.errors import SpillwayError
from controller.core.fleet import Pin, RoutingMode

PIN = Pin(routing=RoutingMode.EXTERNAL, replicas=None, who="ada", reason="driver update", until_s=1_800_000_000.0)


def file_of(state_dir: Path) -> Path:
    """Where the word is kept."""
    return state_dir / "spec" / "pools.json"


@pytest.mark.parametrize(
    "pin",
    [PIN, replace(PIN, routing=None, replicas=2), replace(PIN, replicas=0, who="a 'b'", reason="ünïcode\u2028line")],
    ids=["routing", "replicas", "both, odd text"],
)
def test_a_pin_is_read_as_it_was_said(tmp_path: Path, pin: Pin) -> None:
    """By the same process and by another one."""
    spec = SpecFiles(tmp_path)
    assert spec.pin("llama-8b", pin) is None
    assert spec.pins() == {"llama-8b": pin}
    assert SpecFiles(tmp_path).pins() == {"llama-8b": pin}


def test_nothing_said_is_nothing(tmp_path: Path) -> None:
    """Reading makes no folder and no file."""
    spec = SpecFiles(tmp_path)
    assert (spec.pins(), spec.drains(), spec.read()) == ({}, frozenset(), ({}, frozenset()))
    assert list(tmp_path.iterdir()) == []


def test_a_change_tells_what_it_replaced(tmp_path: Path) -> None:
    """So that it can be taken back."""
    spec, second = SpecFiles(tmp_path), replace(PIN, replicas=3)
    spec.pin("llama-8b", PIN)
    assert spec.pin("llama-8b", second) == PIN
    assert spec.unpin("llama-8b") == second
    assert spec.unpin("llama-8b") is None
    assert spec.pins() == {}


def test_a_reader_sees_what_another_process_writes(tmp_path: Path) -> None:
    """A controller that runs for long reads each new word once, and also that the file is gone."""
    reader, writer = SpecFiles(tmp_path), SpecFiles(tmp_path)
    assert reader.pins() == {}
    writer.pin("llama-8b", PIN)
    assert reader.pins() == {"llama-8b": PIN}
    assert reader.pins() is reader.pins()
    writer.unpin("llama-8b")
    assert reader.pins() == {}
    writer.pin("llama-8b", PIN)
    assert reader.pins() != {}
    file_of(tmp_path).unlink()
    assert reader.pins() == {}


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    """Operators who pin and drain at the same moment all have their word."""
    known = [f"replica-{number}-{step}" for number in range(4) for step in range(10)]

    def write(number: int) -> None:
        spec = SpecFiles(tmp_path)
        for step in range(10):
            spec.pin(f"pool-{number}-{step}", PIN)
            spec.order_drain(f"replica-{number}-{step}", known=known)

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(write, range(4)))
    spec = SpecFiles(tmp_path)
    assert len(spec.pins()) == 40
    assert spec.drains() == frozenset(known)


def test_a_drain_is_ordered_once_and_old_orders_are_forgotten(tmp_path: Path) -> None:
    """Replicas that are gone leave the file with the next order."""
    spec = SpecFiles(tmp_path)
    assert spec.order_drain("a", known=["a", "b"])
    assert not spec.order_drain("a", known=["a", "b"])
    assert spec.order_drain("b", known=["b", "c"])
    assert spec.drains() == frozenset({"b"})


def garbled(file: Path) -> None:
    """Half a document."""
    file.write_text('{"pins": {')


def wrong(file: Path) -> None:
    """JSON of another shape."""
    file.write_text('{"pins": {"llama-8b": {"routing": "Sideways"}}, "drains": []}')


def listed(file: Path) -> None:
    """No object at all."""
    file.write_text("[]")


def folder(file: Path) -> None:
    """Something that cannot be read as a file."""
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("spoil", [garbled, wrong, listed, folder])
def test_an_unreadable_file_keeps_the_last_good_word(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """The controller goes on by what it read last; it never takes a broken file for an empty one, nor does it fail."""
    spec = SpecFiles(tmp_path)
    spec.pin("llama-8b", PIN)
    spec.order_drain("a", known=["a"])
    assert spec.pins() == {"llama-8b": PIN}
    spoil(file_of(tmp_path))
    for _ in range(2):
        assert (spec.pins(), spec.drains()) == ({"llama-8b": PIN}, frozenset({"a"}))


@pytest.mark.parametrize("spoil", [garbled, wrong, listed, folder])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda spec: spec.pin("other", PIN), id="pin"),
        pytest.param(lambda spec: spec.unpin("llama-8b"), id="unpin"),
        pytest.param(lambda spec: spec.order_drain("b", known=["b"]), id="drain"),
    ],
)
def test_an_unreadable_file_is_not_overwritten(
    tmp_path: Path, change: Callable[[SpecFiles], object], spoil: Callable[[Path], None]
) -> None:
    """Other operators' words may be in it: a change is refused, naming the file, and leaves it as it is."""
    SpecFiles(tmp_path).pin("llama-8b", PIN)
    file = file_of(tmp_path)
    spoil(file)
    before = file.read_text() if file.is_file() else None
    with pytest.raises(SpillwayError, match=r"pools\.json cannot be read"):
        change(SpecFiles(tmp_path))
    assert (file.read_text() if file.is_file() else None) == before


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    """No traceback where the state folder is a file."""
    (tmp_path / "spec").write_text("in the way")
    with pytest.raises(SpillwayError, match="cannot write"):
        SpecFiles(tmp_path).pin("llama-8b", PIN)


PINS = st.builds(
    Pin,
    routing=st.none() | st.sampled_from(RoutingMode),
    replicas=st.none() | st.integers(0, 9),
    who=st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    reason=st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    until_s=st.floats(0, 1e11),
)


@given(st.dictionaries(st.text("abc-", min_size=1, max_size=4), PINS, max_size=3), st.text("abc-", min_size=1), PINS)
def test_doing_and_undoing_is_nothing(
    tmp_path_factory: pytest.TempPathFactory, there: dict[str, Pin], pool: str, pin: Pin
) -> None:
    """Whatever was pinned: pinning and restoring what that replaced leaves the same words."""
    spec = SpecFiles(tmp_path_factory.mktemp("spec"))
    for name, word in there.items():
        spec.pin(name, word)
    before = spec.read()
    replaced = spec.pin(pool, pin)
    assert spec.read()[0][pool] == pin
    if replaced is None:
        spec.unpin(pool)
    else:
        spec.pin(pool, replaced)
    assert spec.read() == before
