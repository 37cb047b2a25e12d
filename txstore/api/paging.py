"""Pages of a list: `?limit=` entries, `?after=` the name or id of the last one of the page before.

Every list has one order, by a key that does not change, so that a page neither repeats nor leaves out what stays. The
answer is `{"results": […], "next": "…"}`; `next` is the path of the following page, null on the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from nodes.errors import BadRequest

DEFAULT_LIMIT, MAX_LIMIT, MAX_AFTER = 100, 1_000, 1_000
PARAMETERS = ("after", "limit")


class Page(NamedTuple):
    """What was asked for; `after` is "" for the first page. Whoever lists looks for `limit + 1` entries, so as to know
    whether another page follows."""

    path: str
    after: str
    limit: int


def read_page(path: str, query: Mapping[str, str]) -> Page:
    """BadRequest for what is no limit, or no text that a name could be."""
    text, after = query.get("limit", str(DEFAULT_LIMIT)), query.get("after")
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= MAX_LIMIT:
        raise BadRequest(f'"limit" must be an integer from 1 to {MAX_LIMIT}.')
    if after is not None and ("\0" in after or not 1 <= len(after) <= MAX_AFTER):
        raise BadRequest('"after" must be the name or id of the last entry of the page before.')
    return Page(path, after or "", int(text))


def page_to_json(
    page: Page, found: Sequence[Any], key: Callable[[Any], str], to_json: Callable[[Any], Any]
) -> dict[str, Any]:
    """The answer, of up to `page.limit + 1` entries behind `page.after`; `key` gives what `after` names."""
    shown = found[: page.limit]
    following = None
    if len(found) > page.limit:
        following = f"{page.path}?{urlencode({'limit': page.limit, 'after': key(shown[-1])})}"
    return {"results": [to_json(entry) for entry in shown], "next": following}
