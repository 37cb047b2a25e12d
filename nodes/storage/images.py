"""From the changes that a statement made to the row images that the log carries (DESIGN.md §3).

A change is what the pre-update hook reports: (physical table, old row or None, new row or None), rows with `_ts` first,
in the order in which they were made. Many changes to one row become one image: the committed version that it came
from, and what is left in the end.

*Invariants*: each committed version touched is named by exactly one image; rows that this evaluation wrote (`_ts` 0)
are never named as versions; a row that came and went leaves nothing; images stand in the order of first touch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nodes.sql.schema import Image
from nodes.storage.sqlite_layout import Layout

Row = tuple[Any, ...]
Change = tuple[str, Row | None, Row | None]


def net_images(changes: Sequence[Change], layouts: Mapping[str, Layout], earlier: Sequence[Image] = ()) -> list[Image]:
    """The net images of what `earlier` says and then `changes`; `layouts` by physical name."""
    if not changes:
        return list(earlier)
    if len(changes) == 1 and not earlier:
        name, old, new = changes[0]
        return [_image(layouts[name], old, new)]
    images: list[Image] = [Image(image.table, image.old_key, image.old_ts, image.row) for image in earlier]
    live: dict[tuple[str, Row], Image] = {}  # rows this evaluation wrote, by where they are now
    gone: dict[tuple[str, Row], Image] = {}  # committed versions it deleted, by where they were
    names = {layout.table.id: name for name, layout in layouts.items()} if images else {}
    for before in images:
        name = names[before.table]
        if before.row is not None:
            live[name, layouts[name].stored_key_of((0, *before.row))] = before
        elif before.old_key is not None:
            gone[name, tuple(before.old_key)] = before
    for name, old, new in changes:
        layout = layouts[name]
        image: Image | None
        if old is None:
            assert new is not None, "a change has an old row or a new one"
            image = gone.pop((name, layout.stored_key_of(new)), None)
        else:
            image = live.pop((name, layout.stored_key_of(old)), None)
        if image is None:
            image = _image(layout, old, new)
            images.append(image)
        else:
            image.row = None if new is None else list(new[1:])
        if new is not None:
            live[name, layout.stored_key_of(new)] = image
        elif image.old_key is not None:
            gone[name, tuple(image.old_key)] = image
    return [image for image in images if image.old_key is not None or image.row is not None]


def _image(layout: Layout, old: Row | None, new: Row | None) -> Image:
    """The image of one change to a row that nothing has touched before."""
    row = None if new is None else list(new[1:])
    if old is None:
        return Image(layout.table.id, None, 0, row)
    assert old[0] > 0, "a row written by this evaluation is no version"
    return Image(layout.table.id, list(layout.stored_key_of(old)), old[0], row)
