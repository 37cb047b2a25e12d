"""What every SQLite file of a replica does: slots, the sync that outlives the machine, the copy that leaves it."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from nodes.errors import Corrupt
from nodes.storage.sqlite_store import FORMAT, SqliteStore

TABLE = "CREATE TABLE note (at INTEGER PRIMARY KEY) STRICT;"


def fill(store: SqliteStore, *slots: int) -> None:
    store.begin()
    for slot in slots:
        store.advance(slot, slot * 10)
        store._apply("INSERT INTO note VALUES (?)", (slot,))
    store.commit()


def notes(path: Path) -> list[int]:
    """What a program that comes later finds; the write-ahead log beside the file is read too."""
    connection = apsw.Connection(str(path))
    try:
        return [at for (at,) in connection.execute("SELECT at FROM note ORDER BY at")]
    finally:
        connection.close()


def test_slot_and_epoch_are_those_of_the_last_commit(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s1.db", TABLE)
    fill(store, 1, 2)
    store.begin()
    store.advance(3, 5)
    assert (store.applied, store.epoch) == (2, 20)
    store.rollback()
    store.close()
    again = SqliteStore(tmp_path / "s1.db", TABLE)
    assert (again.applied, again.epoch) == (2, 20)
    fill(again, 3)
    assert (again.applied, again.epoch) == (3, 30)
    again.close()


def test_an_older_epoch_leaves_the_newest_one_standing() -> None:
    store = SqliteStore(None, TABLE)
    store.begin()
    store.advance(1, 7)
    store.advance(2, 3)
    store.commit()
    assert store.epoch == 7
    store.close()


def test_what_sync_confirmed_is_in_the_file_without_its_write_ahead_log(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s1.db", TABLE)
    fill(store, 1, 2)
    assert store.sync() == 2
    (tmp_path / "later").write_bytes((tmp_path / "s1.db").read_bytes())
    fill(store, 3)
    assert notes(tmp_path / "later") == [1, 2]
    store.close()


def test_a_sync_that_a_reader_holds_up_confirms_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s1.db", TABLE)
    fill(store, 1)
    reader = apsw.Connection(str(tmp_path / "s1.db"))
    reader.execute("BEGIN; SELECT * FROM note")
    fill(store, 2)
    assert store.sync() == 0
    reader.close()
    assert store.sync() == 2
    store.close()


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_copy_is_one_state_whatever_is_committed_after_it(tmp_path: Path, in_memory: bool) -> None:
    store = SqliteStore(None if in_memory else tmp_path / "s1.db", TABLE)
    fill(store, 1, 2)
    copy = store.copy()
    fill(store, 3)
    parts = [copy.read(offset, 1000) for offset in range(0, copy.size, 1000)]
    copy.close()
    (tmp_path / "copied").write_bytes(b"".join(parts))
    assert notes(tmp_path / "copied") == [1, 2]
    store.close()
    assert sorted(path.name for path in tmp_path.iterdir() if "copy-" in path.name) == []


def test_a_copied_store_goes_on_from_its_slot(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s1.db", TABLE)
    fill(store, 1, 2)
    copy = store.copy()
    (tmp_path / "other.db").write_bytes(copy.read(0, copy.size))
    copy.close()
    other = SqliteStore(tmp_path / "other.db", TABLE)
    assert (other.applied, other.epoch) == (2, 20)
    fill(other, 3)
    other.close()
    store.close()


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "s1.db", TABLE).close()
    connection = apsw.Connection(str(tmp_path / "s1.db"))
    connection.execute(f"UPDATE engine_state SET format = {FORMAT - 1}")
    connection.close()
    with pytest.raises(Corrupt, match=f"engine format {FORMAT - 1}, this program reads {FORMAT}"):
        SqliteStore(tmp_path / "s1.db", TABLE)
