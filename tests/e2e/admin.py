"""A person at Django's admin: logs in, looks at pages, sends forms."""

from __future__ import annotations

import re
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

PATIENCE_S = 30.0


class AdminDoor:
    """One browser's worth of cookies at the web server on `address` (host:port)."""

    def __init__(self, address: str) -> None:
        self.url = f"http://{address}"
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def get(self, path: str) -> str:
        """The page; urllib's HTTPError for one that is refused."""
        with self._opener.open(self.url + path, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())

    def post(self, path: str, fields: dict[str, str]) -> str:
        """Send the form at `path`; the page that it leads to."""
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.get(path))
        assert token, f"{path} has no form"
        body = urllib.parse.urlencode({"csrfmiddlewaretoken": token[1], **fields}).encode()
        request = urllib.request.Request(self.url + path, body, {"Referer": self.url})
        with self._opener.open(request, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())

    def log_in(self, password: str) -> None:
        page = self.post("/admin/login/?next=/admin/", {"username": "admin", "password": password, "next": "/admin/"})
        assert "/admin/logout/" in page, "the password was not taken"
