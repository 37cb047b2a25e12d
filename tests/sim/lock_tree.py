"""The tree of locks, worked out anew for the checks: which nodes lie above which, and what a lock on one means below.

A node lies above another one if its bytes are the beginning of the other's (nodes/sql/keys.py); b"" is the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nodes.core.locks import IS, IX, JOIN, SIX, Node, S, X
from nodes.sql import keys
from nodes.sql.schema import Image, TableDef

Held = Mapping[Node, int]


def nodes_of(image: Image, table: TableDef) -> list[list[bytes]]:
    """For the keys of the version that it replaces and of the row it makes: the nodes from the table to the key."""
    types = [table.columns[i].type for i in table.primary_key]
    found = [] if image.old_key is None else [list(image.old_key)]
    if image.row is not None:
        found.append([image.row[i] for i in table.primary_key])
    return [[keys.encode(types[:width], key[:width]) for width in range(len(types) + 1)] for key in found]


def may_write(held: Held, table: int, path: list[bytes]) -> bool:
    """X on one of the nodes from the table to the key, and at least IX on all above it."""
    for node in path:
        mode = held.get((table, node))
        if mode == X:
            return True
        if mode is None or JOIN[mode][IX] != mode:
            return False
    return False


def holds(held: Held, wanted: Iterable[tuple[Node, int]]) -> bool:
    """Each as it is wanted, or more, or a lock above that holds for all below (what is then written under SIX is locked
    by its image)."""
    return all(_is_held(held, node, mode) for node, mode in wanted)


_BELOW = {S: (IS, S), SIX: (IS, IX, S, SIX), X: (IS, IX, S, SIX, X)}


def _is_held(held: Held, node: Node, mode: int) -> bool:
    table, key = node
    if any(mode in _BELOW.get(held.get((table, key[:width]), IS), ()) for width in range(len(key))):
        return True
    return node in held and JOIN[held[node]][mode] == held[node]


def is_prefix(table: TableDef, key: bytes) -> bool:
    """Does it lie between the table and the full keys?"""
    types = [table.columns[i].type for i in table.primary_key]
    return 0 < len(keys.decode(types, key)) < len(types)
