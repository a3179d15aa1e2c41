"""Settings files are changed whole, put back byte for byte, and never over somebody else's change."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.adapters.setting_files import SettingFileError, SettingFiles

AT, LATER = "2026-11-25T00:00:00", "2026-11-25T00:00:01"


@pytest.fixture
def files(tmp_path: Path) -> SettingFiles:
    """An empty memory of changes."""
    return SettingFiles(tmp_path / "state" / "connect")


@pytest.mark.parametrize(
    "before", [b"", b"A=1\n", b"# words\r\nA=1\r\n\r\n", b"no newline at the end", b"\xff\x00 not text"]
)
def test_undo_restores_every_byte_and_the_mode(files: SettingFiles, tmp_path: Path, before: bytes) -> None:
    """Content and mode are those of before, whatever was in it, and no record is left."""
    path = tmp_path / "settings"
    path.write_bytes(before)
    path.chmod(0o640)
    change = files.write("codex", path, b"ours", at=AT)
    assert path.read_bytes() == b"ours"
    assert path.stat().st_mode & 0o777 == 0o600
    files.undo(change)
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o640
    assert files.all() == ()
    assert list((tmp_path / "state" / "connect").iterdir()) == []


def test_undo_removes_what_was_not_there(files: SettingFiles, tmp_path: Path) -> None:
    """File and folders that were made are gone; a folder in which something else lies by now stays."""
    path = tmp_path / "home" / ".tool" / "settings.json"
    change = files.write("claude-code", path, b"{}", at=AT)
    (tmp_path / "home" / "other").touch()
    files.undo(change)
    assert not path.parent.exists()
    assert (tmp_path / "home").exists()


def test_a_changed_file_is_never_overwritten(files: SettingFiles, tmp_path: Path) -> None:
    """After a change by somebody else neither undo nor another write touches it, and both say where the backup lies."""
    path = tmp_path / "config.toml"
    path.write_text("mine")
    change = files.write("codex", path, b"ours", at=AT)
    path.write_text("mine again")
    with pytest.raises(SettingFileError, match="changed since") as refused:
        files.undo(change)
    assert "codex-" in refused.value.fix
    with pytest.raises(SettingFileError, match="changed since"):
        files.write("codex", path, b"ours once more", at=LATER)
    assert path.read_text() == "mine again"


def test_a_second_write_keeps_the_first_backup(files: SettingFiles, tmp_path: Path) -> None:
    """Connecting twice and undoing once gives back what was there before both."""
    path = tmp_path / ".env"
    path.write_bytes(b"first")
    files.write("curl", path, b"ours", at=AT)
    assert files.before("curl", path) == b"first"
    files.undo(files.write("curl", path, b"ours, newer", at=LATER))
    assert path.read_bytes() == b"first"


def test_two_clients_in_one_file_are_undone_in_reverse(files: SettingFiles, tmp_path: Path) -> None:
    """The earlier one is refused with the name of the later one; in order both go."""
    path = tmp_path / ".env"
    first = files.write("openai-python", path, b"one", at=AT)
    second = files.write("langchain", path, b"one and two", at=LATER)
    with pytest.raises(SettingFileError, match="langchain") as refused:
        files.undo(first)
    assert refused.value.fix == "first: spillway connect langchain --undo"
    files.undo(second)
    files.undo(first)
    assert not path.exists()


def test_a_link_stays_a_link(files: SettingFiles, tmp_path: Path) -> None:
    """A settings file that is a link is changed where it lies."""
    real, link = tmp_path / "dotfiles.json", tmp_path / "settings.json"
    real.write_bytes(b"{}")
    link.symlink_to(real)
    change = files.write("claude-code", link, b'{"env": {}}', at=AT)
    assert link.is_symlink()
    files.undo(change)
    assert link.is_symlink()
    assert real.read_bytes() == b"{}"


def test_a_deleted_file_that_we_made_counts_as_undone(files: SettingFiles, tmp_path: Path) -> None:
    """Nothing is made anew."""
    path = tmp_path / "spillway.curl"
    change = files.write("curl", path, b"ours", at=AT)
    path.unlink()
    files.undo(change)
    assert files.find("curl", path) is None
    assert not path.exists()


def test_backups_are_for_their_owner_alone(files: SettingFiles, tmp_path: Path) -> None:
    """Records and backups may hold keys: 0600 in a folder of 0700."""
    files.write("curl", tmp_path / "x", b"ours", at=AT)
    folder = tmp_path / "state" / "connect"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"client": "codex"}'], ids=["cut", "list", "partial"])
def test_a_broken_record_is_told(files: SettingFiles, tmp_path: Path, content: bytes) -> None:
    """It names the file, instead of acting on half a record."""
    files.write("codex", tmp_path / "x", b"ours", at=AT)
    record = next((tmp_path / "state" / "connect").glob("*.json"))
    record.write_bytes(content)
    with pytest.raises(SettingFileError, match=record.name):
        files.all()


def test_an_unwritable_place_is_told(files: SettingFiles, tmp_path: Path) -> None:
    """A folder in the file's place is one clear line."""
    (tmp_path / "settings").mkdir()
    with pytest.raises(SettingFileError, match="cannot be read"):
        files.write("codex", tmp_path / "settings", b"ours", at=AT)
