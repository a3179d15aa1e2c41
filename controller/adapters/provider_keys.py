"""The providers' API keys: from the environment as it was at the start, and from files that are read again and again.

Satisfies what `gateway.credentials` asks for, a mapping from a provider to its keys. A key that is replaced in its
file is used within `REFRESH_S` seconds, without a restart. A file that cannot be read keeps the key there was.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import structlog

from controller.core.models import Provider
from controller.core.secret import Secret

log = structlog.get_logger()

REFRESH_S = 10.0
KEY_BYTES = 4096


def _said(environ: Mapping[str, str], names: Iterable[str]) -> Iterator[str]:
    return filter(None, (environ.get(name) for name in names))


class ProviderKeys(Mapping[str, tuple[Secret, ...]]):
    """The keys by name of the provider, first those of variables."""

    def __init__(
        self, providers: Mapping[str, Provider], environ: Mapping[str, str], *, refresh_s: float = REFRESH_S
    ) -> None:
        self._refresh_s = refresh_s
        self._environ = dict(environ)
        self._held: dict[str, Secret] = {}  # by path
        self._keys: dict[str, tuple[Secret, ...]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._take(providers)

    def _take(self, providers: Mapping[str, Provider]) -> None:
        self._fixed = {
            name: tuple(Secret(key) for key in _said(self._environ, (one.api_key_env, *one.more_key_envs)))
            for name, one in providers.items()
        }
        self._files = {name: provider.api_key_files for name, provider in providers.items() if provider.api_key_files}
        wanted = {path for paths in self._files.values() for path in paths}
        self._held = {path: key for path, key in self._held.items() if path in wanted}
        self._keys = {name: self._all(name) for name in providers}
        self._refresh()

    def _all(self, name: str) -> tuple[Secret, ...]:
        held = (self._held.get(path) for path in self._files.get(name, ()))
        return tuple(dict.fromkeys((*self._fixed[name], *filter(None, held))))

    def reconfigure(self, providers: Mapping[str, Provider]) -> None:
        """Afterwards these are the providers; keys in variables are those of the environment at the start."""
        with self._lock:
            self._take(providers)
        if self._thread is not None or self._files:
            self.start()

    def __getitem__(self, provider: str) -> tuple[Secret, ...]:
        """Its keys."""
        return self._keys[provider]

    def __iter__(self) -> Iterator[str]:
        """Every provider."""
        return iter(self._keys)

    def __len__(self) -> int:
        """How many providers there are."""
        return len(self._keys)

    def refresh(self) -> None:
        """Afterwards the keys are those that the files hold now."""
        with self._lock:
            self._refresh()

    def _refresh(self) -> None:
        for name, paths in self._files.items():
            for path in paths:
                self._read(name, path)
            keys = self._all(name)
            if keys != self._keys[name]:
                self._keys[name] = keys
                log.info("provider_keys_changed", provider=name, keys=len(keys))

    def _read(self, name: str, path: str) -> None:
        try:
            with Path(path).open("rb") as file:
                key = file.read(KEY_BYTES).decode("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            log.warning("provider_key_unreadable", provider=name, path=path, error=type(error).__name__)
            return
        if key and key.isprintable() and " " not in key:
            self._held[path] = Secret(key)
        else:  # a file in the middle of being written, or one that holds something else: nothing of it is told
            log.warning("provider_key_unreadable", provider=name, path=path, error="not a key alone")

    def start(self) -> None:
        """Afterwards a thread keeps the keys fresh until `close()`, if any come from files."""
        if self._files and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="provider-keys", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._refresh_s):
            self.refresh()

    def close(self) -> None:
        """Afterwards the thread has ended."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10.0)
