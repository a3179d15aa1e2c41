"""The peppers of an installation: files beside the database, 0600. `pepper` is the first, `pepper.2` the next, ...

New keys are made under the newest. Older ones stay until no key needs them, so a pepper that may have leaked is
replaced without a day on which nobody gets in. Gateways on other machines need the same files.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from pathlib import Path

from controller.core.keys import FIRST_PEPPER

PEPPER_BYTES = 32


class Peppers:
    """Reads each file once; the first one is made when there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = {FIRST_PEPPER: load_pepper(path)}
        self._nobody = secrets.token_bytes(PEPPER_BYTES)

    @property
    def first(self) -> bytes:
        """The one that is always there."""
        return self._known[FIRST_PEPPER]

    def newest(self) -> int:
        """The number of the one that new keys are made under."""
        name = re.compile(re.escape(self._path.name) + r"\.([1-9][0-9]{0,8})")
        found = (name.fullmatch(file.name) for file in self._path.parent.iterdir())
        return max((int(match[1]) for match in found if match), default=FIRST_PEPPER)

    def of(self, pepper_id: int) -> bytes:
        """That pepper; one that no digest was ever made with when its file is not here."""
        pepper = self._known.get(pepper_id)
        if pepper is None:
            path = self._file(pepper_id)
            if not path.exists():
                return self._nobody
            pepper = self._known[pepper_id] = load_pepper(path)
        return pepper

    def add(self) -> tuple[int, Path]:
        """Makes the next one; its number and its file."""
        pepper_id = self.newest() + 1
        path = self._file(pepper_id)
        load_pepper(path)
        return pepper_id, path

    def _file(self, pepper_id: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{pepper_id}")


def load_pepper(path: Path) -> bytes:
    """The pepper in the file; made on first use, readable by its owner alone. Safe when two start at once."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(PEPPER_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # whole or not at all, and never over an existing one
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    pepper = path.read_bytes()
    if len(pepper) != PEPPER_BYTES:
        raise ValueError(f"{path} must hold exactly {PEPPER_BYTES} bytes, found {len(pepper)}")
    return pepper
