"""Applying to the SQLite engine: versions, history, slots, snapshots, and what is left after a crash."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from nodes.errors import Corrupt, ReplicaStopped, StoreError
from nodes.sql.schema import ColumnDef, CreateTable, Fragment, Image, TableDef
from nodes.storage.sqlite import SqliteEngine
from tests.storage.bank import ACCOUNTS, ROWS_AT, apply, commits, history, opened, reads, rows_at, rows_now, writes

NOTES = TableDef(3, "notes", 2, 1, (ColumnDef("id", "BIGINT"),), (0,), (0,))


@pytest.fixture
def engine() -> Iterator[SqliteEngine]:
    engine = opened(SqliteEngine(None), (1, 100), (2, 200))
    yield engine
    engine.close()


def stops(engine: SqliteEngine, *images: Image, at: int = 20) -> str:
    """The words of the stop, after a check that nothing can be committed and nothing was left."""
    rows, past = rows_now(engine), history(engine)
    engine.begin()
    with pytest.raises(ReplicaStopped) as stopped:
        engine.install(images, at)
    with pytest.raises(ReplicaStopped):
        engine.commit()
    engine.rollback()
    assert (rows_now(engine), history(engine), engine.applied) == (rows, past, 2)
    return str(stopped.value)


# -- versions


def test_a_superseded_version_goes_to_history_with_the_interval_it_was_current_in(engine: SqliteEngine) -> None:
    apply(engine, [Image(2, [1], 10, [1, 90, "a"])], 20)
    apply(engine, [Image(2, [1], 20, None)], 30)
    apply(engine, [Image(2, None, 0, [1, 5, None])], 40)
    assert rows_now(engine) == [[1, 5, None, 40], [2, 200, None, 10]]
    assert history(engine) == [[1, 100, None, 10, 20], [1, 90, "a", 20, 30]]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image(2, [1], 9, [1, 0, None]), "table accounts, key [1]: expected version 9, found version 10"),
        (Image(2, [1], 11, None), "table accounts, key [1]: expected version 11, found version 10"),
        (Image(2, [7], 10, [7, 0, None]), "table accounts, key [7]: expected version 10, found no version"),
        (Image(2, None, 0, [1, 0, None]), "table accounts, key [1]: expected no version, found version 10"),
        (Image(2, [1], 10, [2, 0, None]), "table accounts, key [1]: expected version 10"),
        (Image(2, [1], 10, [1, -1, None]), "CHECK constraint failed"),
        (Image(2, [1], 10, [1, "x", None]), "cannot store TEXT"),
        (Image(2, [1], 10, [1, 0]), "table accounts, key [1]"),
        (Image(2, [1], 10, []), "table accounts, key [1]"),
        (Image(2, [1, 2], 10, None), "table accounts, key [1, 2]"),
        (Image(8, [1], 10, None), "table 8"),
    ],
)
def test_an_image_that_does_not_find_its_version_stops_the_replica(
    engine: SqliteEngine, image: Image, words: str
) -> None:
    assert words in stops(engine, Image(2, [2], 10, [2, 1, None]), image)


@pytest.mark.parametrize("at", [9, 10])
def test_a_timestamp_that_does_not_rise_stops_the_replica(engine: SqliteEngine, at: int) -> None:
    assert f"timestamp {at} is not above" in stops(engine, Image(2, [1], 10, [1, 0, None]), at=at)


def test_a_row_does_not_come_back_before_its_last_version_ended() -> None:
    engine = opened(SqliteEngine(None), (1, 100))
    apply(engine, [Image(2, [1], 10, None)], 20)
    engine.begin()
    with pytest.raises(ReplicaStopped, match="history reaches past 19"):
        engine.install([Image(2, None, 0, [1, 0, None])], 19)
    engine.rollback()
    apply(engine, [Image(2, None, 0, [1, 0, None])], 20)
    assert [rows_at(engine, ts) for ts in (19, 20)] == [[[1, 100, None]], [[1, 0, None]]]
    engine.close()


def test_the_same_images_twice_stop_the_replica(engine: SqliteEngine) -> None:
    image = Image(2, [1], 10, [1, 0, None])
    assert "key [1]" in stops(engine, image, image)


def test_rows_may_exchange_their_keys(engine: SqliteEngine) -> None:
    apply(engine, [Image(2, [1], 10, [2, 100, None]), Image(2, [2], 10, [1, 200, None])], 20)
    assert rows_now(engine) == [[1, 200, None, 20], [2, 100, None, 20]]
    assert history(engine) == [[1, 100, None, 10, 20], [2, 200, None, 10, 20]]


def test_a_deleted_key_may_be_taken_in_the_same_call(engine: SqliteEngine) -> None:
    apply(engine, [Image(2, None, 0, [1, 3, "new"]), Image(2, [1], 10, [9, 4, "moved"]), Image(2, [2], 10, None)], 20)
    assert rows_now(engine) == [[1, 3, "new", 20], [9, 4, "moved", 20]]


# -- slots and local transactions


def test_slots_come_one_by_one(engine: SqliteEngine) -> None:
    for slot in (1, 2, 4):
        engine.begin()
        with pytest.raises(ReplicaStopped, match=f"slot {slot} cannot follow the applied slot 2"):
            engine.advance(slot, 1)
        engine.rollback()
    engine.begin()
    engine.advance(3, 1)
    engine.advance(4, 1)
    assert engine.applied == 2
    engine.commit()
    assert engine.applied == 4


def test_a_rollback_restores_rows_records_slot_and_tables(engine: SqliteEngine) -> None:
    engine.begin()
    engine.define(CreateTable(NOTES), 0)
    engine.install([Image(2, [1], 10, None), Image(3, None, 0, [1])], 20)
    engine.put_prepared([(b"p", b"1")])
    engine.put_outcomes([(b"o", b"1")], False)
    engine.advance(3, 1)
    assert engine.table(3) == NOTES
    engine.rollback()
    assert (engine.applied, engine.table(3), engine.tables()) == (2, None, [ACCOUNTS])
    assert (list(engine.prepared()), engine.outcome(b"o", False)) == ([], None)
    assert rows_now(engine) == [[1, 100, None, 10], [2, 200, None, 10]]
    engine.begin()
    engine.define(CreateTable(NOTES), 0)
    engine.advance(3, 1)
    engine.commit()
    assert engine.tables() == [ACCOUNTS, NOTES]


def test_a_table_that_is_there_stops_the_replica(engine: SqliteEngine) -> None:
    engine.begin()
    with pytest.raises(ReplicaStopped, match="table 2 is there already"):
        engine.define(CreateTable(ACCOUNTS), 0)
    engine.rollback()


def test_records_are_kept_replaced_and_dropped(engine: SqliteEngine) -> None:
    engine.begin()
    for txn, record in ((b"\x02", b"b"), (b"\x01", b"a"), (b"\x02", b"c")):
        engine.put_prepared([(txn, record)])
        engine.put_outcomes([(txn, record)], False)
    assert list(engine.prepared()) == [(b"\x01", b"a"), (b"\x02", b"c")]
    engine.drop_prepared([b"\x01", b"\x09"])
    engine.commit()
    assert list(engine.prepared()) == [(b"\x02", b"c")]
    assert [engine.outcome(txn, False) for txn in (b"\x01", b"\x02", b"\x03")] == [b"a", b"c", None]


# -- snapshots


def test_a_snapshot_shows_what_was_committed_at_or_below_its_timestamp(engine: SqliteEngine) -> None:
    commits(engine, 20, writes("UPDATE t2_1 SET balance = 50 WHERE id = 1"), writes("DELETE FROM t2_1 WHERE id = 2"))
    commits(engine, 30, writes("UPDATE t2_1 SET id = 2 WHERE id = 1"))
    assert [rows_at(engine, ts) for ts in (9, 10, 19, 20, 29, 30, 99)] == [
        [],
        *[[[1, 100, None], [2, 200, None]]] * 2,
        *[[[1, 50, None]]] * 2,
        *[[[2, 50, None]]] * 2,
    ]


def test_a_snapshot_read_tells_what_its_statement_does_wrong(engine: SqliteEngine) -> None:
    with pytest.raises(StoreError) as raised:
        engine.read(reads("", 1, 2, snapshot_sql=ROWS_AT, statement=3), 10)
    assert (raised.value.info.sqlstate, raised.value.info.statement) == ("42P02", 3)
    with pytest.raises(StoreError) as raised:
        engine.read(reads("", snapshot_sql="DELETE FROM t2_1 WHERE _ts <= ?1"), 10)
    assert raised.value.info.sqlstate == "42501"


def test_a_read_of_no_table_takes_no_timestamp(engine: SqliteEngine) -> None:
    assert engine.read(Fragment(0, "", [7], [], [], False, "SELECT ?1 + 1"), 10).rows == [[8]]


def test_reads_of_a_file_run_in_other_threads_and_see_only_what_is_committed(tmp_path: Path) -> None:
    engine = opened(SqliteEngine(tmp_path / "s1.db"), (1, 100))
    seen: list[object] = []

    def read() -> None:
        seen.append(rows_at(engine, 50))

    for _ in range(2):
        engine.begin()
        engine.install([Image(2, None, 0, [2 + len(seen), 0, None])], 20)
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        engine.commit()
    assert seen == [[[1, 100, None]], [[1, 100, None], [2, 0, None]]]
    engine.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s1.db"]


# -- files


def test_a_file_opened_again_holds_everything(tmp_path: Path) -> None:
    engine = opened(SqliteEngine(tmp_path / "s1.db"), (1, 100))
    engine.begin()
    engine.put_prepared([(b"p", b"1")])
    engine.put_outcomes([(b"o", b"2")], False)
    engine.commit()
    engine.close()
    engine = SqliteEngine(tmp_path / "s1.db")
    assert (engine.applied, engine.tables(), list(engine.prepared())) == (2, [ACCOUNTS], [(b"p", b"1")])
    assert (engine.outcome(b"o", False), rows_now(engine)) == (b"2", [[1, 100, None, 10]])
    engine.close()


def test_a_file_that_is_not_the_engines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is no database at all, whatever its name says" * 100)
    with pytest.raises(Corrupt):
        SqliteEngine(tmp_path / "text")
    opened(SqliteEngine(tmp_path / "s1.db")).close()
    stranger = apsw.Connection(str(tmp_path / "s1.db"))
    stranger.execute("UPDATE engine_state SET format = 99")
    stranger.close()
    with pytest.raises(Corrupt, match="format"):
        SqliteEngine(tmp_path / "s1.db")


def test_a_file_that_others_moved_is_not_committed_to(tmp_path: Path) -> None:
    engine = opened(SqliteEngine(tmp_path / "s1.db"), (1, 100))
    stranger = apsw.Connection(str(tmp_path / "s1.db"))
    stranger.execute("UPDATE engine_state SET applied = 1")
    stranger.close()
    engine.begin()
    engine.advance(3, 1)
    with pytest.raises(ReplicaStopped, match="not at the applied slot 2"):
        engine.commit()
    engine.rollback()
    engine.close()


SLOTS = 60


def slot_images(slot: int) -> list[Image]:
    """What slot 3 and each later one does: account 1 counts the slots, another account comes."""
    return [Image(2, [1], 10 if slot == 3 else slot * 10 - 10, [1, slot, None]), Image(2, None, 0, [slot, slot, None])]


def apply_slots(engine: SqliteEngine) -> None:
    for slot in range(engine.applied + 1, SLOTS + 1):
        apply(engine, slot_images(slot), slot * 10)


CHILD = """
import os, pathlib, sys
from nodes.storage.sqlite import SqliteEngine
from tests.storage.bank import opened
from tests.storage.test_sqlite_engine_apply import apply_slots
engine = opened(SqliteEngine(pathlib.Path(sys.argv[1])), (1, 2))
apply_slots(engine)
engine.begin()
engine.put_outcomes([(b"never", b"committed")], False)
os._exit(9)
"""


def test_after_a_crash_that_lost_the_last_commits_a_prefix_is_left_and_is_replayed(tmp_path: Path) -> None:
    crashed = tmp_path / "crashed.db"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", CHILD, str(crashed)], cwd=root, check=False).returncode == 9
    whole = crashed.with_name("crashed.db-wal").read_bytes()
    whole_engine = opened(SqliteEngine(None), (1, 2))
    apply_slots(whole_engine)
    prefixes = []
    for number, cut in enumerate((len(whole), len(whole) - 1, len(whole) // 2, len(whole) // 3, 0)):
        path = tmp_path / f"cut{number}.db"
        shutil.copy(crashed, path)
        path.with_name(path.name + "-wal").write_bytes(whole[:cut])
        engine = SqliteEngine(path)
        prefixes.append(engine.applied)
        if engine.applied < 2:
            engine.close()
            continue
        expected = (
            [] if engine.applied == 2 else [[slot, slot, None, slot * 10] for slot in range(3, engine.applied + 1)]
        )
        assert rows_now(engine)[1:] == expected
        assert rows_now(engine)[0][1] == engine.applied
        assert engine.outcome(b"never", False) is None
        apply_slots(engine)
        assert (rows_now(engine), history(engine)) == (rows_now(whole_engine), history(whole_engine))
        engine.close()
    whole_engine.close()
    assert prefixes[0] == SLOTS
    assert prefixes == sorted(prefixes, reverse=True)
    assert 2 < prefixes[2] < SLOTS
