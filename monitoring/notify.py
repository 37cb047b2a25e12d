"""Telling somebody else about a flip: one POST of JSON to the address in TXSTORE_NOTIFY_URL.

Told is what goes to or comes from `warn` or `fail`; that something is not known is told by the check that knows why.
A flip is told at least once: the receiver may see one twice (it has the same `id`), after a crash in between.

*Left out*: when it is tried again (`tasks.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec

from monitoring.models import Flip
from monitoring.verdicts import FAIL, WARN

PATIENCE_S = 5.0


class NotTold(Exception):
    """The receiver did not take it; it can be tried again."""


def is_news(before: str, after: str) -> bool:
    return before in (WARN, FAIL) or after in (WARN, FAIL)


def message(flip: Flip) -> dict[str, Any]:
    """What the receiver gets; `at` is ISO 8601, UTC."""
    return {
        "id": flip.pk,
        "check": flip.check_name,
        "subject": flip.subject,
        "at": flip.at,
        "before": flip.before,
        "after": flip.after,
        "cause": flip.cause,
    }


class _NoRedirect(HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its body: better that it fails and says so."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = build_opener(_NoRedirect)


def post(url: str, body: Mapping[str, Any]) -> None:
    """NotTold unless the receiver answers with 2xx within PATIENCE_S."""
    request = Request(url, msgspec.json.encode(body), {"Content-Type": "application/json", "User-Agent": "txstore"})
    try:
        with _opener.open(request, timeout=PATIENCE_S):
            return
    except OSError as error:  # an HTTP error is one, too
        raise NotTold(f"{url} did not take it: {error}") from error
