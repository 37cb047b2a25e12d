"""The admin's page of the nodes in a browser, on real processes: a node is let in, and a dead one replaced."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e import browser as browsers
from tests.e2e.browser import Window
from tests.e2e.cluster import LocalCluster, served
from tests.e2e.web import WebServer

TOLD_WITHIN_S = 15.0
WIDTHS = (1440, 390)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with served(tmp_path / "home", restart_s=None) as started:
        yield started


@pytest.fixture
def web(cluster: LocalCluster) -> Iterator[WebServer]:
    server = WebServer(cluster)
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_the_page_one_is_let_in_and_a_dead_one_replaced(cluster: LocalCluster, web: WebServer, theme: str) -> None:
    with browsers.chromium() as browser:
        window = Window(browser, web.address, 1440, theme)
        window.log_in(web.password)
        _let_in_and_replace(window, cluster)
        window.context.close()


def _let_in_and_replace(window: Window, cluster: LocalCluster) -> None:
    page = window.page
    cluster.join(4)
    cluster.part(2)
    cluster.kill(2)
    let_in = page.get_by_role("button", name="Let n4 in")
    deadline = time.monotonic() + TOLD_WITHIN_S
    while not let_in.count():
        assert time.monotonic() < deadline
        window.open("/admin/cluster/nodes/")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert window.overflow() == 0
        window.shoot(f"nodes-waiting-{width}")
    let_in.click()
    expect(page.get_by_text("n4 is let in.")).to_be_visible()
    while not page.locator("#successor-2 option[value='4']").count():
        window.open("/admin/cluster/nodes/")
    page.select_option("#successor-2", "4")
    page.get_by_role("button", name="Have n2 leave").click()
    page.get_by_role("button", name="Replace n2 by n4").click()
    expect(page.get_by_text("n2 leaves, n4 takes its place.")).to_be_visible()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert window.overflow() == 0
        window.shoot(f"nodes-leaving-{width}")
    expect(page.get_by_text("n2 is leaving")).to_have_count(0)
    window.open("/admin/cluster/nodes/")
    expect(page.get_by_text("Removed for good: n2.")).to_be_visible()
    window.open("/admin/txstore/operation/")
    for order in ("add-node n4", "replace-node n2 n4"):
        expect(page.get_by_text(order)).to_be_visible()
    assert (window.errors, window.foreign) == ([], [])
