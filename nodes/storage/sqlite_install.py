"""Installing row images: the one way in which committed rows change (DESIGN.md §3).

An image finds exactly the version that it names or the replica stops. The superseded version goes to history as
`[_ts, commit_ts)`. Rows that go or change their key are first deleted, all of them, then the new ones come: so a call
may exchange keys.

*Invariants*: `_ts` rises per row; history intervals touch and never overlap (a row comes back only at or after the end
of its last version).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from nodes.errors import ReplicaStopped, StoreError
from nodes.sql.schema import Image
from nodes.storage.sqlite_connection import SqliteConnection
from nodes.storage.sqlite_layout import Layout

# A malformed image meets these: constraints, our functions, values that do not bind, a row that is too short.
_REFUSALS = (apsw.Error, StoreError, ValueError, TypeError, OverflowError, IndexError)


def install(connection: SqliteConnection, layouts: Mapping[int, Layout], images: Sequence[Image], at: int) -> None:
    """Install `images` with `_ts` = `at`; ReplicaStopped, and then the local transaction must not commit."""
    for image in images:
        if image.table not in layouts:
            raise ReplicaStopped(f"an image names table {image.table}, which this replica does not have")
        try:
            if image.old_key is not None:
                _supersede(connection, layouts[image.table], image, image.old_key, at)
        except _REFUSALS as error:
            raise _stopped(connection, layouts[image.table], image, str(error)) from error
    for image in images:
        try:
            if image.row is not None:
                _write(connection, layouts[image.table], image, image.row, at)
        except _REFUSALS as error:
            raise _stopped(connection, layouts[image.table], image, str(error)) from error


def stage(connection: SqliteConnection, layouts: Mapping[int, Layout], images: Sequence[Image]) -> None:
    """Have the rows stand as `images` say, in a local transaction that is rolled back: an evaluation left them so, and
    the next one goes on from there. A row that was there keeps its version, a new one has none (0)."""
    for image in images:
        if image.old_key is not None:
            connection.execute(layouts[image.table].remove, (*image.old_key, image.old_ts))
    for image in images:
        if image.row is not None:
            connection.execute(layouts[image.table].stage, (*image.row, image.old_ts))


def _supersede(connection: SqliteConnection, layout: Layout, image: Image, old_key: list[Any], at: int) -> None:
    """The first pass: the version named goes to history, and away unless it is replaced in its place."""
    if at <= image.old_ts:
        raise _stopped(connection, layout, image, f"the new timestamp {at} is not above the old one")
    connection.execute(layout.archive, (at, *old_key, image.old_ts))
    if connection.db.changes() != 1:
        raise _stopped(connection, layout, image, "")
    if not _stays(layout, image):
        connection.execute(layout.remove, (*old_key, image.old_ts))


def _write(connection: SqliteConnection, layout: Layout, image: Image, row: list[Any], at: int) -> None:
    """The second pass: the new version comes."""
    if image.old_key is not None and _stays(layout, image):
        connection.execute(layout.replace, (*row, at, image.old_ts))
    else:
        connection.execute(layout.insert, (*row, at))
    if connection.db.changes() != 1:
        raise _stopped(connection, layout, image, f"its history reaches past {at}")


def _stays(layout: Layout, image: Image) -> bool:
    """Is it an update that keeps its key?"""
    return image.row is not None and layout.key_of(image.row) == tuple(image.old_key or ())


def _stopped(connection: SqliteConnection, layout: Layout, image: Image, why: str) -> ReplicaStopped:
    """Says table, key, what was expected there and what was found."""
    if image.old_key is not None:
        key, expected = tuple(image.old_key), f"version {image.old_ts}"
    else:
        key, expected = layout.key_of(image.row or ()), "no version"
    try:
        versions = [found for (found,) in connection.execute(layout.find, key)]
        found = f"version {versions[0]}" if versions else "no version"
    except (apsw.Error, ValueError, TypeError, OverflowError) as error:
        found = f"no such key ({error})"
    words = f"table {layout.table.name}, key {list(key)}: expected {expected}, found {found}"
    return ReplicaStopped(f"{words}; {why}" if why else words)
