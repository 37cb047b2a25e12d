"""What a shard leader looks at before it evaluates a transaction's statements, and in what the evaluation gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

from nodes.core.engine import Engine
from nodes.core.locks import IS, IX, JOIN, MODES, Node, X
from nodes.core.txn.states import Active, LockNeed
from nodes.errors import ErrorInfo
from nodes.sql import keys
from nodes.sql.schema import CATALOG_TABLE, SKIP_LOCKED, Fragment, Image

MAX_IMAGES = 10_000
MAX_LOCKS = 4_096  # nodes of one table that a transaction holds on one shard


def planned_locks(fragments: Sequence[Fragment]) -> dict[Node, int]:
    """What is locked before the evaluation."""
    need: dict[Node, int] = {}
    for fragment in fragments:
        if fragment.rows is not None and fragment.rows.wait == SKIP_LOCKED:
            continue  # it waits for nobody
        for lock in fragment.locks:
            node = (lock.table, lock.key)
            mode = MODES[lock.mode]
            need[node] = mode if node not in need else JOIN[need[node]][mode]
    return need


def stale_version(engine: Engine, active: Active) -> tuple[int, int] | None:
    """None: planned with what this shard has; else a table and its version here (0: there is none), or the catalog and
    its version. Compared after the locks are granted, so it cannot change under us."""
    active.ddl = None
    for fragment in active.fragments:
        for table, version in fragment.tables:
            known = engine.table(table)
            if known is None or known.version != version:
                return table, 0 if known is None else known.version
        if _is_stale_ddl(engine, fragment):
            return CATALOG_TABLE, engine.catalog_version
        active.ddl = fragment.ddl or active.ddl
    return None


def _is_stale_ddl(engine: Engine, fragment: Fragment) -> bool:
    """`s0` orders the DDL statements; on another shard one may end before an older one of another table."""
    if fragment.catalog >= 0:
        return fragment.catalog != engine.catalog_version
    return fragment.ddl is not None and fragment.ddl.version <= engine.catalog_version


def over_bound(images: Sequence[Image]) -> ErrorInfo | None:
    if len(images) <= MAX_IMAGES:
        return None
    words = f"the transaction changes {len(images)} rows on one shard; at most {MAX_IMAGES} are allowed: split it"
    return ErrorInfo("too_large", words, "54000")


def image_locks(engine: Engine, held: Mapping[Node, int], images: Sequence[Image]) -> LockNeed:
    """X on old and new key of every image, IX above; without what is held already."""
    need: dict[Node, int] = {}
    for image in images:
        table = engine.table(image.table)
        assert table is not None, "an image of a table that this shard does not hold"
        path_of = keys.path_encoder(tuple([table.columns[i].type for i in table.primary_key]))
        new_key = None if image.row is None else [image.row[i] for i in table.primary_key]
        need[image.table, b""] = IX
        for key in (image.old_key, new_key) if image.old_key != new_key else (new_key,):
            if key is not None:
                path = path_of(key)
                need[image.table, path.pop()] = X
                for prefix in path:
                    need[image.table, prefix] = IX
    return bounded(held, need)


def bounded(held: Mapping[Node, int], need: Mapping[Node, int]) -> LockNeed:
    """What `need` adds to what is held. Of a table of which a transaction would hold over MAX_LOCKS nodes it locks the
    topmost prefixes that it needs something of; if those are too many, too, the table."""
    if len(held) + len(need) <= MAX_LOCKS:
        return _added(held, need)
    larger: dict[Node, int] = {}
    for table in dict.fromkeys(table for table, _ in need):
        larger |= _escalated(held, {node: mode for node, mode in need.items() if node[0] == table}, table)
    return _added(held, larger)


def _added(held: Mapping[Node, int], need: Mapping[Node, int]) -> LockNeed:
    return [(node, mode) for node, mode in need.items() if (now := held.get(node)) is None or JOIN[now][mode] != now]


def _escalated(held: Mapping[Node, int], need: dict[Node, int], table: int) -> dict[Node, int]:
    """What is needed of one table."""
    count = sum(node[0] == table for node in held)
    if count + sum(node not in held for node in need) <= MAX_LOCKS:
        return need
    found, topmost = dict[Node, int](), b""
    for node in sorted(need):
        topmost = topmost if topmost and node[1].startswith(topmost) else node[1]
        found[table, topmost] = JOIN[found.get((table, topmost), IS)][need[node]]
    if count + sum(node not in held for node in found) <= MAX_LOCKS:
        return found
    return {(table, b""): reduce(lambda one, other: JOIN[one][other], need.values())}
