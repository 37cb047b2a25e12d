"""What a shard leader looks at before it evaluates a transaction's statements, and in what the evaluation gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nodes.core.engine import Engine
from nodes.core.locks import IX, JOIN, Node, X
from nodes.core.txn.states import Active, LockNeed
from nodes.errors import ErrorInfo
from nodes.sql import keys
from nodes.sql.schema import Fragment, Image

MAX_IMAGES = 10_000


def stale_version(engine: Engine, active: Active) -> int:
    """-1: planned with what this shard has. Compared after the locks are granted, so it cannot change under us."""
    active.ddl = None
    for fragment in active.fragments:
        for table, version in fragment.tables:
            known = engine.table(table)
            if known is None or known.version != version:
                return 0 if known is None else known.version
        if _is_stale_ddl(engine, fragment):
            return engine.catalog_version
        active.ddl = fragment.ddl or active.ddl
    return -1


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
        types = [table.columns[i].type for i in table.primary_key]
        new_key = None if image.row is None else [image.row[i] for i in table.primary_key]
        found: dict[Node, int] = {(image.table, b""): IX}
        for key in (image.old_key, new_key) if image.old_key != new_key else (new_key,):
            if key is not None:
                found[image.table, keys.encode(types, key)] = X
        for node, mode in found.items():
            now = held.get(node)
            if now is None or JOIN[now][mode] != now:
                need[node] = mode
    return list(need.items())
