"""A real PostgreSQL server in a folder of its own, on a unix socket, and at one address where pods shall reach it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

DEBIAN = Path("/usr/lib/postgresql/15/bin")
PORT = 5432
OWNER = "postgres"  # the server refuses to run as root
SETTINGS = {"listen_addresses": "''", "max_connections": "60", "shared_buffers": "16MB"}


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{DEBIAN}:{os.environ['PATH']}")
    if found is None:
        raise FileNotFoundError(f"no {name}: scripts/install-system.sh installs postgresql-15")
    return found


class PostgresServer:
    """One server. `database()` makes an empty database and gives its URL. `address`: an IPv4 of this machine, where
    it trusts callers from the same /16."""

    def __init__(self, folder: Path, *, fsync: bool = False, address: str | None = None) -> None:
        self.folder = folder
        self._address = address
        self._settings = {**SETTINGS, "fsync": "on" if fsync else "off"}
        self._user = OWNER if os.geteuid() == 0 else None
        self._numbers = count(1)
        if self._user is not None:
            account = pwd.getpwnam(OWNER)
            os.chown(folder, account.pw_uid, account.pw_gid)
        self._run("initdb", "--auth=trust", "--username=spillway", "--encoding=UTF8", "--no-sync", "-D", self._data)
        if address is not None:
            self._settings["listen_addresses"] = f"'{address}'"
            with (folder / "data" / "pg_hba.conf").open("a", encoding="ascii") as rules:
                rules.write(f"host all all {address}/16 trust\n")

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> None:
        """Afterwards it answers."""
        settings = " ".join(f"-c {name}={value}" for name, value in self._settings.items())
        log = str(self.folder / "log")
        self._run("pg_ctl", "start", "--wait", "-D", self._data, "-l", log, "-o", f"{settings} -k {self.folder}")

    def stop(self, mode: str = "immediate") -> None:
        """Afterwards it is gone, as after a crash unless told otherwise."""
        self._run("pg_ctl", "stop", "--wait", "-D", self._data, "-m", mode)

    def pid(self) -> int:
        """Of the postmaster."""
        return int((self.folder / "data" / "postmaster.pid").read_text(encoding="ascii").split()[0])

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(host=str(self.folder), user="spillway", dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # our own name
        if self._address is not None:
            return f"postgresql://spillway@{self._address}:{PORT}/{name}"
        return f"postgresql://spillway@/{name}?host={self.folder}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [_program(program), *arguments]
        done = subprocess.run(
            command, user=self._user, cwd=self.folder, stdin=subprocess.DEVNULL, text=True, timeout=60,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stderr}"


@contextmanager
def running_postgres(*, fsync: bool = False, address: str | None = None) -> Iterator[PostgresServer]:
    """A server that is stopped and deleted at the end; with `fsync` its commits survive the machine, as in earnest."""
    folder = Path(tempfile.mkdtemp(prefix="spillway-pg-"))  # short: a socket's path has at most 107 bytes
    try:
        server = PostgresServer(folder, fsync=fsync, address=address)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
