"""The admin's page of one group, on which an operator says who shall lead it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from monitoring.dashboard import STATUS_S
from monitoring.views import whole
from nodes.errors import StoreError
from nodes.ids import node_name
from txstore import audit, store
from txstore.models import OPERATE


@require_http_methods(["GET", "HEAD", "POST"])
@admin.site.admin_view
def group(request: HttpRequest, name: str) -> HttpResponse:
    """GET shows who leads and who could; POST with `node` has that one lead."""
    if not request.user.has_perm(OPERATE):
        raise PermissionDenied
    if request.method == "POST":
        return _transfer(request, name)
    try:
        told = store.cluster().status(wide=True, timeout=STATUS_S)
    except StoreError as error:
        return _page(request, name, {"error": str(error)}, 503)
    found = next((each for each in told["groups"] if each["group"] == name), None)
    if found is None:
        raise Http404(f"there is no group {name[:80]}")
    up = {node["node"] for node in told["nodes"] if node["up"]}
    others = [
        {"node": node, "name": node_name(node), "is_up": node in up}
        for node in found["members"]
        if node != found["leader"]
    ]
    leader = node_name(found["leader"]) if found["leader"] else ""
    shown = {"leader": leader, "preferred": node_name(found["members"][0]), "others": others}
    return _page(request, name, shown | {"learners": [node_name(node) for node in found["learners"]]})


def _transfer(request: HttpRequest, name: str) -> HttpResponse:
    text = request.POST.get("node", "")
    if not text.isdecimal():
        raise Http404("there is no such node")
    try:
        now = audit.transfer_leader(name, int(text), request.user.get_username(), "admin")
    except StoreError as error:
        messages.error(request, str(error))
        return redirect("group", name=name)
    messages.success(request, f"{node_name(now.leader)} leads {now.group}.")
    return redirect("monitoring:cluster")


def _page(request: HttpRequest, name: str, shown: dict[str, Any], status: int = 200) -> HttpResponse:
    return whole(request, "txstore/group", f"Group {name[:80]}", {"name": name, **shown}, status)
