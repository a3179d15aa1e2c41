"""Settings files of other programs: changed whole or not at all, and put back byte for byte.

`spillway connect` writes them and undoes that. The bytes from before (`NAME.before`) and a record of each change
(`NAME.json`) lie in the state folder. A file that somebody has changed since is never touched.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from controller.core.errors import SpillwayError

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


class SettingFileError(SpillwayError):
    """A settings file cannot be changed or put back. `fix` says what the reader can do."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of one file. `mode_before` is None when there was no file; `key_id` is the key made for it, if any."""

    client: str
    path: str
    mode_before: int | None
    digest_before: str
    digest_after: str
    made_folders: tuple[str, ...]  # innermost first
    at: str
    key_id: str | None


def digest(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


class SettingFiles:
    """Changes of settings files, remembered in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, client: str, path: Path) -> Change | None:
        """The change that was made for this client in this file, if it still stands."""
        return self._read(self._record(client, path))

    def latest(self, client: str) -> Change | None:
        """The newest change for this client, whichever file it was."""
        changes = [change for change in self.all() if change.client == client]
        return max(changes, key=lambda change: change.at, default=None)

    def all(self) -> tuple[Change, ...]:
        """Every change that stands."""
        found = (self._read(file) for file in sorted(self._folder.glob("*.json")))
        return tuple(change for change in found if change is not None)

    def before(self, client: str, path: Path) -> bytes:
        """What an edit starts from: the bytes from before an earlier change for this client, else those there are.

        SettingFileError when they are no longer as the earlier change left them.
        """
        change = self.find(client, path)
        if change is None:
            return _content(path)
        self._refuse_changed(change)
        return self._backup(client, path).read_bytes()

    def write(self, client: str, path: Path, content: bytes, *, at: str, key_id: str | None = None) -> Change:
        """Afterwards the file holds `content`, for its owner alone, and can be put back to what it was at first."""
        path = path.resolve()  # a link to a file in a folder of settings stays a link
        earlier = self.find(client, path)
        if earlier is not None:
            self._refuse_changed(earlier)
        before = _content(path)
        change = Change(
            client=client,
            path=str(path),
            mode_before=_mode(path) if earlier is None else earlier.mode_before,
            digest_before=digest(before) if earlier is None else earlier.digest_before,
            digest_after=digest(content),
            made_folders=_missing_folders(path) if earlier is None else earlier.made_folders,
            at=at,
            key_id=key_id,
        )
        _private_folder(self._folder)
        if earlier is None:
            _write(self._backup(client, path), before, PRIVATE_FILE)
        _write(self._record(client, path), json.dumps(asdict(change), indent=2).encode() + b"\n", PRIVATE_FILE)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, content, PRIVATE_FILE)
        return change

    def undo(self, change: Change) -> None:
        """Afterwards the file is as it was, byte for byte, or gone when it was not there; the record is gone too."""
        path = Path(change.path)
        self._refuse_changed(change)
        backup, record = self._backup(change.client, path), self._record(change.client, path)
        if change.mode_before is None:
            path.unlink(missing_ok=True)
        else:
            before = backup.read_bytes()
            if digest(before) != change.digest_before:
                raise SettingFileError(f"{backup} is not what was put there: {path} stays as it is")
            _write(path, before, change.mode_before)
        for folder in change.made_folders:
            with contextlib.suppress(OSError):  # something else lies in it by now
                Path(folder).rmdir()
        record.unlink()
        backup.unlink(missing_ok=True)

    def _refuse_changed(self, change: Change) -> None:
        path = Path(change.path)
        now = digest(_content(path))
        if now == change.digest_after or (change.mode_before is None and not path.exists()):
            return
        later = [other for other in self.all() if other.path == change.path and other.digest_after == now]
        if later:
            other = later[0].client
            raise SettingFileError(
                f"{path} was changed for {other} after {change.client}", f"first: spillway connect {other} --undo"
            )
        backup, record = self._backup(change.client, path), self._record(change.client, path)
        raise SettingFileError(
            f"{path} was changed since, so it stays as it is",
            f"what it held before lies in {backup}; mend it by hand, then delete {record}",
        )

    def _name(self, client: str, path: Path) -> str:
        return f"{client}-{digest(str(path.resolve()).encode())[:12]}"

    def _record(self, client: str, path: Path) -> Path:
        return self._folder / f"{self._name(client, path)}.json"

    def _backup(self, client: str, path: Path) -> Path:
        return self._folder / f"{self._name(client, path)}.before"

    def _read(self, record: Path) -> Change | None:
        try:
            document = json.loads(record.read_bytes())
            return Change(**{**document, "made_folders": tuple(document["made_folders"])})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise SettingFileError(f"{record} cannot be read ({type(error).__name__})") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise SettingFileError(f"{path} cannot be read: {error.strerror}") from error


def _mode(path: Path) -> int | None:
    return path.stat().st_mode & 0o7777 if path.exists() else None


def _missing_folders(path: Path) -> tuple[str, ...]:
    return tuple(str(folder) for folder in path.parents if not folder.exists())


def _private_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(PRIVATE_FOLDER)


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(draft).chmod(mode)
            Path(draft).replace(path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SettingFileError(f"{path} cannot be written: {error.strerror}") from error
