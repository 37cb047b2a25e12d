"""The counterfeit disk and stores are as bad as they are said to be, and no worse."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

from nodes.errors import Corrupt
from nodes.storage.journal import Journal
from tests.sim.disk import PLENTY, SimDisk
from tests.sim.journal import HOME, draw_flip
from tests.sim.stores import SimStores
from tests.sim.truth import Violation

NAME = Path("file")
SEEDS = range(60)


def disk_with(content: bytes, seed: int) -> tuple[SimDisk, int]:
    """A disk that holds a file with this content, durably, open."""
    disk = SimDisk(random.Random(seed))
    disk.lock(HOME)
    fd = disk.open(NAME)
    disk.write(fd, content, 0)
    disk.sync_file(fd)
    disk.sync_directory(HOME)
    return disk, fd


def journal_on(disk: SimDisk) -> Journal:
    return Journal(HOME, on_durable=lambda ticket: None, on_failure=lambda error: None, segment_bytes=500,
                   ahead_bytes=64, files=disk)  # fmt: skip


def written(batches: int, seed: int) -> SimDisk:
    """A disk with a journal of so many batches, each written and synced."""
    disk = SimDisk(random.Random(seed))
    journal = journal_on(disk)
    list(journal.replay())
    for number in range(batches):
        journal._write_batch([b"%d" % number * 50])
    return disk


def test_lost_power_leaves_what_was_synced_and_any_part_of_the_rest() -> None:
    found = set()
    for seed in SEEDS:
        disk, fd = disk_with(b"synced", seed)
        disk.write(fd, b"abcdefgh" * 3, 6)
        disk.lose_power()
        content = disk.read(NAME)
        assert content.startswith(b"synced")
        found.add(content)
    assert {b"synced", b"synced" + b"abcdefgh" * 3} < found
    assert any(b"\0" in content.rstrip(b"\0") for content in found), "some have a hole in the middle"


def test_lost_power_may_take_a_new_name_away_and_bring_a_removed_one_back() -> None:
    names = set()
    for seed in SEEDS:
        disk, _ = disk_with(b"", seed)
        disk.open(Path("new"))
        disk.remove(NAME)
        disk.lose_power()
        names.add(tuple(sorted(disk.names(HOME))))
    assert names == {(), ("file",), ("new",), ("file", "new")}


def test_what_a_failed_sync_lost_is_shown_until_the_power_goes() -> None:
    found = set()
    for seed in SEEDS:
        disk, fd = disk_with(b"synced", seed)
        disk.write(fd, b"lost", 6)
        disk.fails = "sync"
        with pytest.raises(OSError, match="sync"):
            disk.sync_data(fd)
        with pytest.raises(Violation):
            disk.sync_data(fd)
        disk.lock(HOME)  # the next process
        assert disk.read(NAME) == b"syncedlost"
        disk.sync_file(disk.open(NAME))
        disk.lose_power()
        found.add(disk.read(NAME))
    assert b"synced" in found


def test_on_a_full_disk_a_write_ends_in_the_middle_and_what_is_there_already_can_be_written() -> None:
    disk, fd = disk_with(bytes(100), 0)
    disk.room = 10
    disk.write(fd, b"x" * 100, 0)
    with pytest.raises(OSError, match="write") as failure:
        disk.write(fd, b"y" * 50, 100)
    assert failure.value.errno == errno.ENOSPC
    assert disk.read(NAME) == b"x" * 100 + b"y" * 10
    disk.make_room()
    assert disk.room == PLENTY


@pytest.mark.parametrize("seed", SEEDS)
def test_a_flip_that_is_drawn_is_told_at_the_start_and_forgotten_when_taken_back(seed: int) -> None:
    disk = written(8, seed)
    before = list(journal_on(disk.copy()).replay())
    place = draw_flip(disk, random.Random(seed))
    assert place is not None
    disk.flip(*place)
    with pytest.raises(Corrupt):
        list(journal_on(disk.copy()).replay())
    disk.restore()
    assert list(journal_on(disk.copy()).replay()) == before


def test_a_store_falls_back_to_any_commit_since_its_last_sync() -> None:
    found = set()
    for seed in SEEDS:
        stores = SimStores(random.Random(seed))
        for slot in range(1, 6):
            store = stores.open("s1")
            store.begin()
            store.advance(slot, 1)
            store.commit()
            if slot == 2:
                store.sync()
        stores.crash()
        found.add(stores.open("s1").applied)
        stores.close()
    assert found == {2, 3, 4, 5}
