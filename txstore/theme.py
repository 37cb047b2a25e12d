"""How the admin looks (django-unfold); its navigation begins with the pages of the watch."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "txstore",
    "SITE_HEADER": "txstore",
    "SITE_SYMBOL": "database",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("monitoring/icon.svg")}],
    "STYLES": [lambda request: static("monitoring/narrow.css")],
    "SITE_URL": "/admin/cluster/",
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "COLORS": {
        "primary": {
            "50": "oklch(97.7% .014 236)",
            "100": "oklch(95.1% .026 236)",
            "200": "oklch(90.1% .058 235)",
            "300": "oklch(82.8% .111 235)",
            "400": "oklch(74.6% .150 236)",
            "500": "oklch(66.5% .155 239)",
            "600": "oklch(55.5% .150 242)",
            "700": "oklch(48.5% .130 243)",
            "800": "oklch(43% .110 244)",
            "900": "oklch(38% .090 245)",
            "950": "oklch(29% .066 246)",
        },
    },
    "SIDEBAR": {"navigation": "monitoring.navigation.sidebar"},
}
