"""The admin's own navigation: the pages of the watch first, then every model that the user may see."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

PAGES = (
    ("Cluster", "hub", "monitoring:cluster"),
    ("Transactions", "receipt_long", "monitoring:transactions"),
    ("In doubt", "hourglass", "doubts"),
)
ICONS = {"auth.User": "person", "auth.Group": "group"}
ICON = "table_rows"


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups that unfold draws."""
    pages = [{"title": title, "icon": icon, "link": reverse(name)} for title, icon, name in PAGES]
    return [{"title": "Store", "items": pages}, *(_of_app(app) for app in admin.site.get_app_list(request))]


def _of_app(app: dict[str, Any]) -> dict[str, Any]:
    items = [
        {
            "title": str(model["name"]),
            "icon": ICONS.get(model["model"]._meta.label, ICON),
            "link": model["admin_url"],
        }
        for model in app["models"]
        if model["admin_url"]
    ]
    return {"title": app["name"], "separator": True, "items": items}
