"""A user's browser on the admin: Debian's Chromium, driven by Playwright, watched for what no page may do.

A window keeps every error that its console showed, every request that went to another host, and can say whether the
page is wider than the window. Screenshots go to `screenshots/` of the project, for a person to look at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.e2e.cluster import ROOT

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE_MS = 30_000
SCREENSHOTS = ROOT / "screenshots"
OWN = ("data:", "blob:", "about:")

expect.set_options(timeout=PATIENCE_MS)


class Window:
    """One window of `width` x 900 in `theme` ("light" or "dark"), on the web server at `address`."""

    def __init__(self, browser: Browser, address: str, width: int, theme: str) -> None:
        self.width, self.theme = width, theme
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self._origin = f"http://{address}"
        self.context = browser.new_context(
            base_url=self._origin,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if theme == "dark" else "light",
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._on_request)

    def log_in(self, password: str) -> None:
        """As the user admin, from the root of the site."""
        self.page.goto("/")
        self.page.fill("#id_username", "admin")
        self.page.fill("#id_password", password)
        self.page.click("#login-form [type=submit]")
        self.page.wait_for_url("**/admin/cluster/")

    def open(self, path: str) -> None:
        answer = self.page.goto(path, wait_until="load")
        assert answer is not None
        assert answer.status == 200, f"{path}: {answer.status}"

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate("Math.max(0, document.documentElement.scrollWidth - window.innerWidth)"))

    def empty_boxes(self) -> list[str]:
        """Cards that say nothing."""
        script = "[...document.querySelectorAll('.tx-card')].filter(c => !c.innerText.trim()).map(c => c.outerHTML)"
        found: list[str] = self.page.evaluate(script)
        return found

    def torn_facts(self) -> list[str]:
        """Names of which the value stands so far away that the eye loses the line."""
        script = """() => [...document.querySelectorAll('.tx-facts > div')].filter(row => {
            const [name, value] = [...row.children].map(cell => {
                const range = document.createRange();
                range.selectNodeContents(cell);
                return range.getBoundingClientRect();
            });
            return value.left - name.right > 400;
        }).map(row => row.innerText)"""
        found: list[str] = self.page.evaluate(script)
        return found

    def cut_words(self) -> list[str]:
        """Parts of the title and values of a list of which not all is seen."""
        script = """() => [...document.querySelectorAll('#result_list td, #header-inner h1 *')].filter(
            cell => cell.scrollHeight > cell.clientHeight + 1 || cell.scrollWidth > cell.clientWidth + 1
        ).map(cell => cell.innerText)"""
        found: list[str] = self.page.evaluate(script)
        return found

    def shoot(self, name: str) -> Path:
        """The whole page as `screenshots/NAME-WIDTH-THEME.png`."""
        SCREENSHOTS.mkdir(exist_ok=True)
        path = SCREENSHOTS / f"{name}-{self.width}-{self.theme}.png"
        self.page.screenshot(path=path, full_page=True)
        return path

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{self.page.url}: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self._origin}/", *OWN)):
            self.foreign.append(request.url)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a screen, ended at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
