"""Keys: shown once, stored as a digest, revoked within seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from controller.adapters.key_store import KeySnapshot, KeyTable
from controller.adapters.peppers import Peppers, load_pepper
from controller.core.keys import key_matches, split_key


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyTable]:
    """A fresh key store."""
    store = KeyTable(tmp_path / "spillway.db", tmp_path / "pepper")
    yield store
    store.close()


def _wait_until(fact: Callable[[], bool], *, deadline_s: float) -> None:
    end_s = time.monotonic() + deadline_s
    while not fact():
        assert time.monotonic() < end_s, "deadline passed"
        time.sleep(0.01)


def test_a_new_key_matches_and_is_not_stored(keys: KeyTable, tmp_path: Path) -> None:
    """The text has 256 secret bits, verifies against its record, and is in no file of the state folder."""
    text, record = keys.create("acme", "laptop", now_s=1.0)
    public_id, secret = split_key(text) or ("", "")
    assert public_id == record.public_id
    assert len(bytes.fromhex(secret)) == 32
    found = keys.find(public_id)
    assert found is not None
    assert key_matches(found, keys.peppers.first, secret)
    assert [keys.is_good(text), keys.is_good(text[:-1] + "x"), keys.is_good("")] == [True, False, False]
    for file in tmp_path.iterdir():
        assert secret.encode() not in file.read_bytes()


def test_keys_are_listed_oldest_first(keys: KeyTable) -> None:
    """list shows every key, revoked ones too; find knows nothing of unknown ids."""
    first = keys.create("acme", "one", now_s=1.0)[1]
    second = keys.create("acme", "two", now_s=2.0)[1]
    assert keys.list() == (first, second)
    assert keys.find("nobody") is None


def test_revoking_works_once(keys: KeyTable) -> None:
    """The first revoke says True and stamps the time; a second and an unknown id say False."""
    text, record = keys.create("acme", "laptop", now_s=1.0)
    assert keys.revoke(record.public_id, now_s=5.0)
    assert not keys.revoke(record.public_id, now_s=9.0)
    assert not keys.revoke("nobody", now_s=9.0)
    stored = keys.find(record.public_id)
    assert stored is not None
    assert stored.revoked_at_s == 5.0
    assert not keys.is_good(text)


def test_a_revocation_by_another_process_reaches_the_gateway_in_time(keys: KeyTable, tmp_path: Path) -> None:
    """A running snapshot sees new and revoked keys of another store within 2 s (5 s are promised)."""
    snapshot = KeySnapshot(KeyTable(tmp_path / "spillway.db", tmp_path / "pepper"))
    snapshot.start()
    snapshot.start()
    assert snapshot.pepper == keys.peppers.first
    record = keys.create("acme", "laptop", now_s=1.0)[1]
    _wait_until(lambda: snapshot.lookup(record.public_id) is not None, deadline_s=2.0)
    seen_revision = snapshot.revision
    keys.revoke(record.public_id, now_s=2.0)

    def revoked() -> bool:
        seen = snapshot.lookup(record.public_id)
        assert seen is not None
        return seen is not None and seen.revoked_at_s is not None

    _wait_until(revoked, deadline_s=2.0)
    _wait_until(lambda: snapshot.revision > seen_revision, deadline_s=2.0)
    assert snapshot.lookup("nobody") is None
    snapshot.close()


def test_a_snapshot_keeps_its_keys_when_the_table_cannot_be_read(tmp_path: Path) -> None:
    """A failing refresh leaves the last good keys in place and is tried again."""
    store = KeyTable(tmp_path / "spillway.db", tmp_path / "pepper")
    record = store.create("acme", "laptop", now_s=1.0)[1]
    snapshot = KeySnapshot(store, refresh_interval_s=0.01)
    store.close()
    (tmp_path / "spillway.db").write_bytes(b"not a database" * 100)
    for name in ("spillway.db-wal", "spillway.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    snapshot.start()
    time.sleep(0.1)
    assert snapshot.lookup(record.public_id) == record
    snapshot.close()


def test_changes_at_once_are_all_seen(place: Path | str, tmp_path: Path) -> None:
    """A snapshot that reads what is newer than what it knows misses none of 40 changes by eight processes at once."""
    tables = [KeyTable(place, tmp_path / "pepper") for _ in range(9)]
    snapshot = KeySnapshot(tables.pop())
    made = [tables[0].create("acme", str(number), now_s=1.0)[1] for number in range(20)]
    done: list[bool] = []

    def change(number: int) -> None:
        table = tables[number % 8]
        table.create("zoo", str(number), now_s=2.0)
        table.revoke(made[number].public_id, now_s=3.0)
        done.append(True)

    with ThreadPoolExecutor(max_workers=8) as pool:
        changes = pool.map(change, range(20))
        while len(done) < 20:
            snapshot.refresh()
        list(changes)
    snapshot.refresh()
    assert all((snapshot.lookup(record.public_id) or record).revoked_at_s == 3.0 for record in made)
    assert sum(record.tenant == "zoo" for record in tables[0].list()) == 20
    assert snapshot.revision == 60
    for table in tables:
        table.close()
    snapshot.close()


def test_a_new_pepper_is_for_new_keys(keys: KeyTable, tmp_path: Path) -> None:
    """Old keys stay good; a running gateway reads the new file when it meets a key that needs it."""
    snapshot = KeySnapshot(KeyTable(tmp_path / "spillway.db", tmp_path / "pepper"))
    old, old_record = keys.create("acme", "old", now_s=1.0)
    assert keys.peppers.add() == (2, tmp_path / "pepper.2")
    new, new_record = keys.create("acme", "new", now_s=2.0)
    snapshot.refresh()
    assert (old_record.pepper_id, new_record.pepper_id) == (1, 2)
    assert keys.is_good(old)
    assert keys.is_good(new)
    for text, record in ((old, old_record), (new, new_record)):
        seen = snapshot.lookup(record.public_id)
        assert seen is not None
        assert key_matches(seen, snapshot.pepper_of(seen), (split_key(text) or ("", ""))[1])
    assert snapshot.pepper_of(new_record) != snapshot.pepper_of(old_record) == snapshot.pepper
    snapshot.close()


def test_a_pepper_that_is_not_here_fits_no_key(tmp_path: Path) -> None:
    """A gateway without the file refuses the keys under it, and lets nobody guess; other files are not peppers."""
    for name in ("pepper.old", "pepper.0", "pepper.3.tmp", "peppers"):
        (tmp_path / name).write_bytes(b"x")
    one, other = Peppers(tmp_path / "pepper"), Peppers(tmp_path / "pepper")
    assert one.newest() == 1
    assert one.of(3) != other.of(3)
    assert one.of(1) == other.of(1) == one.first


def test_the_pepper_is_made_once_and_is_private(tmp_path: Path) -> None:
    """Twenty threads at once agree on one pepper of 32 bytes, mode 0600, and no draft is left behind."""
    path = tmp_path / "new folder" / "pepper"
    with ThreadPoolExecutor(max_workers=20) as pool:
        peppers = set(pool.map(lambda _: load_pepper(path), range(20)))
    assert len(peppers) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["pepper"]


def test_a_broken_pepper_is_refused(tmp_path: Path) -> None:
    """A pepper of the wrong length is an error that names the file, not a new pepper."""
    (tmp_path / "pepper").write_bytes(b"short")
    with pytest.raises(ValueError, match="pepper must hold exactly 32 bytes"):
        load_pepper(tmp_path / "pepper")
