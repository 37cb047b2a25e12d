"""The admin's page of what is in doubt, and the one that asks whether one of it shall be resolved.

To resolve is to ask the home for its decision, which it makes now, as abort, if it has none: the fence (DESIGN.md §5).
No shard is told anything by it that its home did not decide. Staff sees the page; only who may operate resolves.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from monitoring.dashboard import PAGE
from monitoring.doubts import listed
from monitoring.views import page, part, whole
from nodes import ids
from nodes.errors import OutcomeUnknown, StoreError
from nodes.requests import COMMITTED, IN_DOUBT, Fate
from txstore import audit, store
from txstore.models import OPERATE

RESOLVE_S = 10.0


def _shown() -> dict[str, Any]:
    try:
        return listed(store.cluster().transactions(IN_DOUBT, PAGE, ""))
    except StoreError as error:
        return {"error": str(error)}


@page
def doubts(request: HttpRequest) -> HttpResponse:
    shown = _shown()
    return whole(request, "txstore/doubts", "In doubt", {"doubts": shown}, 503 if "error" in shown else 200)


@part
def doubts_live(request: HttpRequest) -> HttpResponse:
    return render(request, "txstore/_doubts.html", {"doubts": _shown()})


@require_http_methods(["GET", "HEAD", "POST"])
@admin.site.admin_view
def resolve(request: HttpRequest, id: str) -> HttpResponse:
    """GET asks whether it shall be resolved; POST has its home say, or make, the decision."""
    if not request.user.has_perm(OPERATE):
        raise PermissionDenied
    try:
        home = ids.home_of(ids.from_text(id))
    except ValueError as error:
        raise Http404("there is no such transaction") from error
    if request.method != "POST":
        return whole(request, "txstore/doubt_resolve", "Resolve", {"id": id, "home": home})
    try:
        messages.success(request, _words(audit.resolve(id, request.user.get_username(), "admin", RESOLVE_S)))
    except OutcomeUnknown as error:
        words = f"{home} did not say what it decided, and may have decided abort: ask again. Why: {error}"
        messages.error(request, words)
    except StoreError as error:
        messages.error(request, str(error))
    return redirect("doubts")


def _words(fate: Fate) -> str:
    if fate.state == COMMITTED:
        return f"{fate.id} was committed at {fate.commit_ts}: its shards are told."
    return f"{fate.id} is {fate.state}{f' ({fate.reason})' if fate.reason else ''}: its shards are told."
