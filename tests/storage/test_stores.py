"""The files of a node's stores: which one counts, and what is left when a copy takes its place or breaks off."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.storage.sqlite_store import SqliteStore
from nodes.storage.stores import SqliteStores

TABLE = "CREATE TABLE note (at INTEGER PRIMARY KEY) STRICT;"


def opened(directory: Path) -> SqliteStores:
    return SqliteStores(directory, lambda group, path: SqliteStore(path, TABLE))


def fill(store: SqliteStore, slot: int) -> None:
    store.begin()
    store.advance(slot, 1)
    store.commit()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if not path.name.endswith(("-wal", "-shm")))


def receive(stores: SqliteStores, group: str, content: bytes, most: int = 1 << 30) -> None:
    incoming = stores.incoming(group)
    incoming.write(0, content[:most])
    if most >= len(content):
        incoming.seal()
        old = stores._open[-1]
        incoming.install()
        stores.retire(group, old)


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """A store at slot 2, as another replica would send it."""
    store = SqliteStore(tmp_path / "elsewhere", TABLE)
    fill(store, 1)
    fill(store, 2)
    copy = store.copy()
    content = copy.read(0, copy.size)
    copy.close()
    store.close()
    return content


def test_a_copy_takes_the_place_of_a_store_and_the_old_file_goes(tmp_path: Path, content: bytes) -> None:
    directory = tmp_path / "engines"
    stores = opened(directory)
    assert stores.open("s1").applied == 0
    receive(stores, "s1", content)
    assert names(directory) == ["s1.2.db"]
    stores.close()
    again = opened(directory)
    assert again.open("s1").applied == 2
    again.close()


def test_an_unfinished_copy_counts_for_nothing(tmp_path: Path, content: bytes) -> None:
    directory = tmp_path / "engines"
    stores = opened(directory)
    store = stores.open("s1")
    fill(store, 1)  # type: ignore[arg-type]
    receive(stores, "s1", content, most=5000)
    assert names(directory) == ["s1.1.db", "s1.incoming"]
    stores.close()
    again = opened(directory)
    assert names(directory) == ["s1.1.db"]
    assert again.open("s1").applied == 1
    again.close()


def test_after_a_crash_between_the_rename_and_the_end_of_the_old_store_the_new_one_counts(
    tmp_path: Path, content: bytes
) -> None:
    directory = tmp_path / "engines"
    stores = opened(directory)
    fill(stores.open("s1"), 1)  # type: ignore[arg-type]
    incoming = stores.incoming("s1")
    incoming.write(0, content)
    incoming.seal()
    incoming.install()
    assert names(directory) == ["s1.1.db", "s1.2.db"]  # the process ends here
    again = opened(directory)
    assert names(directory) == ["s1.2.db"]
    assert again.open("s1").applied == 2
    again.close()
    stores.close()


def test_the_files_of_others_are_left_alone(tmp_path: Path) -> None:
    directory = tmp_path / "engines"
    directory.mkdir()
    for name in ("notes.txt", "s1.db", "s1.1.db.copy-3", "s2.incoming"):
        (directory / name).write_text("x")
    opened(directory).close()
    assert names(directory) == ["notes.txt", "s1.db"]
