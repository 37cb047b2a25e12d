"""The pages of the watch. A view decides nothing: it asks, and hands one plain dict to one template.

Only staff sees them. A part that is asked for by a page that is open already answers a visitor who is logged out with
the way to the login, which htmx follows: a part never becomes a login form inside a page.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from monitoring import dashboard

View = Callable[..., HttpResponse]


def page(view: Callable[..., HttpResponse]) -> View:
    """A page for staff; others are led to the login."""
    return require_safe(admin.site.admin_view(view))


def part(view: Callable[..., HttpResponse]) -> View:
    """A part of a page, for staff."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not admin.site.has_permission(request):
            return HttpResponse(status=401, headers={"HX-Redirect": reverse("admin:login")})
        return view(request, *args, **kwargs)

    return require_safe(never_cache(guarded))


def whole(request: HttpRequest, template: str, title: str, shown: dict[str, Any], status: int = 200) -> HttpResponse:
    """A page in the admin's frame."""
    request.current_app = admin.site.name
    context = {**admin.site.each_context(request), "title": title, **shown}
    return render(request, f"{template}.html", context, status=status)


@page
def cluster(request: HttpRequest) -> HttpResponse:
    return whole(request, "monitoring/cluster", "Cluster", {"cluster": dashboard.cluster()})


@part
def cluster_live(request: HttpRequest) -> HttpResponse:
    return render(request, "monitoring/_cluster.html", {"cluster": dashboard.cluster()})


@page
def transactions(request: HttpRequest) -> HttpResponse:
    wanted = request.GET.get("id", "").strip()
    if wanted:
        return redirect("monitoring:transaction", id=wanted.replace("/", ""))
    return whole(request, "monitoring/transactions", "Transactions", {"listed": dashboard.transactions(request.GET)})


@part
def transactions_live(request: HttpRequest) -> HttpResponse:
    return render(request, "monitoring/_transactions.html", {"listed": dashboard.transactions(request.GET)})


@page
def transaction(request: HttpRequest, id: str) -> HttpResponse:
    shown = dashboard.transaction(id)
    return whole(request, "monitoring/transaction", "Transaction", {"shown": shown}, 200 if shown["found"] else 404)
