"""The admin's pages of the nodes: who is in the cluster, who asks to be let in, who leaves, and how far that is.

Staff sees them; only who may operate gives orders. To let a node in is one button; to have one leave takes a second
page, which says what will happen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from monitoring.dashboard import STATUS_S
from monitoring.views import page, part, whole
from nodes.errors import StoreError
from nodes.ids import node_name
from nodes.requests import Nodes
from txstore import audit, store
from txstore.members import GONE, LEAVING, MEMBER, WAITING, Member, Status, members
from txstore.models import OPERATE


def _shown(told: Status) -> dict[str, Any]:
    """What the page shows of a wide status."""
    found, groups = members(told), len(told["groups"])
    here = [each for each in found if each.state in (MEMBER, LEAVING)]
    return {
        "here": here,
        "waiting": [each for each in found if each.state == WAITING],
        "gone": ", ".join(each.name for each in found if each.state == GONE),
        "leaving": [
            {"member": each, "groups": groups, "parted": groups - len(each.groups)}
            for each in here
            if each.state == LEAVING
        ],
    }


@page
def nodes(request: HttpRequest) -> HttpResponse:
    try:
        return whole(request, "txstore/nodes", "Nodes", _shown(_status()))
    except StoreError as error:
        return whole(request, "txstore/nodes", "Nodes", {"error": str(error)}, 503)


@part
def nodes_live(request: HttpRequest) -> HttpResponse:
    """The progress of those that are leaving."""
    try:
        return render(request, "txstore/_leaving.html", _shown(_status()))
    except StoreError as error:
        return render(request, "txstore/_leaving.html", {"error": str(error)})


@require_POST
@admin.site.admin_view
def add(request: HttpRequest, node: int) -> HttpResponse:
    _only_operators(request)
    by = request.user.get_username()
    return _ordered(request, lambda: audit.add_node(node, by, "admin"), lambda _: f"{node_name(node)} is let in.")


@require_http_methods(["GET", "HEAD", "POST"])
@admin.site.admin_view
def leave(request: HttpRequest, node: int) -> HttpResponse:
    """GET asks whether `node` shall leave, for `successor` or for whoever has room; POST orders it."""
    _only_operators(request)
    if request.method == "POST":
        return _leave(request, node, _number(request.POST.get("successor", "")))
    successor = _number(request.GET.get("successor", ""))
    try:
        known = {each.node: each for each in members(_status())}
    except StoreError as error:
        return whole(request, "txstore/node_leave", node_name(node), {"error": str(error)}, 503)
    asked = {each: known.get(each) for each in (node, *([successor] if successor else []))}
    if not all(_is_here(each) for each in asked.values()):
        raise Http404("there is no such node")
    shown = {"member": asked[node], "successor": asked.get(successor)}
    return whole(request, "txstore/node_leave", f"{node_name(node)} leaves", shown)


def _leave(request: HttpRequest, node: int, successor: int) -> HttpResponse:
    by, is_fewer = request.user.get_username(), request.POST.get("fewer") == "on"

    def order() -> Nodes:
        if successor:
            return audit.replace_node(node, successor, by, "admin")
        return audit.remove_node(node, is_fewer, by, "admin")

    return _ordered(request, order, lambda told: f"{node_name(node)} {audit.parting(told, node)}.")


def _ordered(request: HttpRequest, order: Callable[[], Nodes], words: Callable[[Nodes], str]) -> HttpResponse:
    """Carry the order out, say what came of it, and show the nodes."""
    try:
        messages.success(request, words(order()))
    except StoreError as error:
        messages.error(request, str(error))
    return redirect("nodes")


def _status() -> Status:
    return store.cluster().status(wide=True, timeout=STATUS_S)


def _only_operators(request: HttpRequest) -> None:
    if not request.user.has_perm(OPERATE):
        raise PermissionDenied


def _is_here(found: Member | None) -> bool:
    return found is not None and found.state in (MEMBER, LEAVING)


def _number(text: str) -> int:
    """A node's number, 0 for none."""
    if text and not (text.isascii() and text.isdecimal() and len(text) <= 3):
        raise Http404("there is no such node")
    return int(text or 0)
