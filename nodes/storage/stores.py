"""The stores of a node as files: `GROUP.N.db`, the newest N of each group, below one directory.

A copy from another replica is written beside it as `GROUP.incoming` and becomes the next N by a rename. The store that
it replaces is closed apart, for a read may still run on it, and its file goes then.

*Invariants*: at every moment of a crash the newest N is a whole store; an older one is never opened again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from nodes.core.engine import Store

_NAME = re.compile(r"(?P<group>[cs]\d+)\.(?P<number>\d+)\.db")
_OURS = re.compile(r"[cs]\d+\.(\d+\.db(-wal|-shm|\.copy-\d+)?|incoming)")


class SqliteStores:
    """`Stores` of nodes/core/engine.py. `open_file(group, path)` opens the kind of store that the group has."""

    def __init__(self, directory: Path, open_file: Callable[[str, Path], Store]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._open_file = open_file
        self._numbers: dict[str, int] = {}
        self._open: list[Store] = []
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        newest: dict[str, int] = {}
        names = [(match, path) for path in self._directory.iterdir() if (match := _NAME.fullmatch(path.name))]
        for match, _ in names:
            newest[match["group"]] = max(newest.get(match["group"], 0), int(match["number"]))
        kept = {self._path(group, number).name for group, number in newest.items()}
        for path in self._directory.iterdir():
            is_kept = path.name.removesuffix("-wal").removesuffix("-shm") in kept
            if _OURS.fullmatch(path.name) and not is_kept:
                path.unlink()
        self._numbers = newest

    def open(self, group: str) -> Store:
        number = self._numbers.setdefault(group, 1)
        store = self._open_file(group, self._path(group, number))
        self._open.append(store)
        return store

    def incoming(self, group: str) -> IncomingFile:
        return IncomingFile(self, group, self._directory / f"{group}.incoming")

    def install(self, group: str, file: Path) -> Store:
        """The file is the group's store from now on."""
        self._numbers[group] = self._numbers.get(group, 0) + 1
        file.rename(self._path(group, self._numbers[group]))
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        return self.open(group)

    def retire(self, group: str, store: Store) -> None:
        """A store that was replaced; in a thread."""
        self._open.remove(store)
        store.close()
        for path in self._directory.glob(f"{group}.*.db*"):
            match = _NAME.match(path.name)
            if match and int(match["number"]) < self._numbers[group]:
                path.unlink(missing_ok=True)

    def drop(self, group: str, store: Store | None) -> None:
        if store is not None:
            self._open.remove(store)
            store.close()
        for path in self._directory.glob(f"{group}.*"):
            path.unlink(missing_ok=True)
        self._numbers.pop(group, None)

    def close(self) -> None:
        for store in self._open:
            store.close()

    def _path(self, group: str, number: int) -> Path:
        return self._directory / f"{group}.{number}.db"


class IncomingFile:
    """A copy on its way in; an older unfinished one of the same group is gone."""

    def __init__(self, stores: SqliteStores, group: str, path: Path) -> None:
        self._stores, self._group, self._path = stores, group, path
        path.unlink(missing_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, offset: int, data: bytes) -> None:
        os.pwrite(self._fd, data, offset)

    def seal(self) -> None:
        """Make it durable; in a thread."""
        os.fsync(self._fd)
        os.close(self._fd)
        self._fd = -1

    def install(self) -> Store:
        return self._stores.install(self._group, self._path)

    def discard(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._path.unlink(missing_ok=True)
