"""The admin in a browser, on a cluster of real processes: it looks right at both widths and in both themes, loads
nothing from elsewhere, refreshes by itself, and tells a killed node, a silent cluster and a dead web server."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from nodes.client import Cluster
from nodes.errors import ConstraintViolation
from tests.e2e.browser import Window
from tests.e2e.cluster import LocalCluster
from tests.e2e.load import Load, open_bank, transfer
from tests.e2e.web import WebServer

TOLD_WITHIN_S = 15.0
# How often the page said so within the milliseconds; it is looked at ten times a second.
SEEN_SILENT = """async ms => {
    let seen = 0;
    for (let passed = 0; passed < ms; passed += 100) {
        await new Promise(each => setTimeout(each, 100));
        seen += document.body.innerText.includes("The cluster has not answered since");
    }
    return seen;
}"""
LEFT = "all => all.map(each => each.getBoundingClientRect().left - each.parentElement.getBoundingClientRect().left)"
WIDTHS, THEMES = (1440, 390), ("light", "dark")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Three nodes that stay dead when they are killed, with a bank and some work on it."""
    directory = tmp_path_factory.mktemp("admin")
    cluster = LocalCluster(directory, restart_s=None)
    load = Load(cluster)
    try:
        cluster.start_all()
        cluster.wait_ready()
        with cluster.client() as client:
            open_bank(client)
        load.start()
        yield cluster
    finally:
        load.stop()
        cluster.terminate()
    assert not cluster.unexpected, cluster.unexpected
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def web(cluster: LocalCluster) -> Iterator[WebServer]:
    server = WebServer(cluster)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Cluster]:
    with cluster.client() as connected:
        yield connected


@pytest.fixture
def window(web: WebServer, browser: Browser) -> Iterator[Window]:
    """Logged in, on the cluster page."""
    opened = Window(browser, web.address, 1440, "light")
    opened.log_in(web.password)
    yield opened
    opened.context.close()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_its_window_says_something_and_loads_nothing_from_elsewhere(
    web: WebServer, browser: Browser, client: Cluster, width: int, theme: str
) -> None:
    committed = transfer(client, 1, 2).id
    with pytest.raises(ConstraintViolation) as refused:
        client.execute("UPDATE accounts SET balance = $1 WHERE id = 1", [-1])
    aborted = refused.value.info.transaction
    window = Window(browser, web.address, width, theme)
    window.page.goto("/")
    window.shoot("login")
    window.log_in(web.password)
    expect(window.page.locator(".tx-chart .u-over")).to_be_visible()
    pages = {
        "cluster": "/admin/cluster/",
        "newest": "/admin/transactions/",
        "slow": "/admin/transactions/?filter=slow",
        "aborted": "/admin/transactions/?filter=aborted",
        "in-doubt": "/admin/transactions/?filter=in_doubt",
        "transaction": f"/admin/transactions/{committed}/",
        "transaction-aborted": f"/admin/transactions/{aborted}/",
        "nodes": "/admin/cluster/nodes/",
        "leave": "/admin/cluster/nodes/2/leave/",
        "users": "/admin/auth/user/",
    }
    for name, path in pages.items():
        window.open(path)
        if name == "cluster":
            expect(window.page.locator(".tx-chart .u-over")).to_be_visible()
        window.shoot(name)
        if name == "transaction" and width == 390:
            assert set(window.page.locator(".tx-steps li > span:last-child").evaluate_all(LEFT)) == {0}
        assert window.overflow() == 0, f"{name} is {window.overflow()} pixels too wide"
        assert window.empty_boxes() == [], name
        assert window.torn_facts() == [], name
    assert (window.errors, window.foreign) == ([], [])
    window.context.close()


def test_the_dark_theme_is_dark_and_the_light_one_light(web: WebServer, browser: Browser) -> None:
    for theme, is_light in (("light", True), ("dark", False)):
        window = Window(browser, web.address, 1440, theme)
        window.log_in(web.password)
        expect(window.page.locator(".tx-card").first).to_be_visible()
        script = """() => {
            const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
            canvas.fillStyle = getComputedStyle(document.querySelector(".tx-card")).backgroundColor;
            canvas.fillRect(0, 0, 1, 1);
            return canvas.getImageData(0, 0, 1, 1).data[0];
        }"""
        assert (window.page.evaluate(script) > 127) == is_light
        window.context.close()


def test_a_transaction_shows_its_statements_votes_decision_and_steps(window: Window, client: Cluster) -> None:
    id = transfer(client, 3, 4).id
    window.open("/admin/transactions/")
    window.page.fill("#find", id)
    window.page.press("#find", "Enter")
    window.page.wait_for_url(f"**/{id}/")
    text = window.page.inner_text("#content")
    for words in ("committed", "balance = balance - $1", "Their values are not kept", "ballot", "slot", "yes (term"):
        assert words in text
    assert window.page.locator(".tx-lane .tx-point").count() >= 10


def test_the_cluster_page_and_the_list_refresh_without_a_reload(window: Window) -> None:
    window.page.evaluate("window.stayed = true")
    before = window.page.inner_text(".tx-foot")
    expect(window.page.locator(".tx-foot")).not_to_have_text(before)
    window.page.click("text=Transactions >> nth=0")
    window.page.wait_for_url("**/admin/transactions/")
    window.page.evaluate("window.stayed = true")
    newest = window.page.locator(".tx-list .tx-id").first
    shown = newest.inner_text()
    expect(newest).not_to_have_text(shown)
    assert window.page.evaluate("window.stayed")
    assert (window.errors, window.foreign) == ([], [])


def test_a_killed_node_is_told_within_15_s_without_a_reload_and_its_return_too(
    window: Window, cluster: LocalCluster
) -> None:
    window.page.evaluate("window.stayed = true")
    life = cluster.statistics(2)["boot"]
    killed_at = time.monotonic()
    cluster.kill(2)
    expect(window.page.get_by_text("n2 has not answered since")).to_be_visible()
    assert time.monotonic() - killed_at < TOLD_WITHIN_S
    expect(window.page.get_by_text("the connection to n2 is lost")).to_be_visible()
    expect(window.page.locator("td[data-node=n2] .tx-bad").first).to_have_text("not reached")
    window.shoot("killed")
    cluster.start(2)
    expect(window.page.get_by_text("n2 has not answered since")).to_have_count(0)
    expect(window.page.get_by_text(f"n2 took part (life {life + 1})")).to_be_visible()
    cluster.wait_ready()
    assert window.page.evaluate("window.stayed")
    assert (window.errors, window.foreign) == ([], [])


def test_a_node_that_hangs_is_told_and_does_not_make_the_cluster_silent(window: Window, cluster: LocalCluster) -> None:
    """SIGSTOP: its connections stay, and nothing comes over them."""
    cluster.pause(3)
    try:
        expect(window.page.get_by_text("n3 has not answered since")).to_be_visible()
        seen = window.page.evaluate(SEEN_SILENT, 12_000)
    finally:
        cluster.resume(3)
    assert seen == 0, "the two others answer"
    expect(window.page.get_by_text("n3 has not answered since")).to_have_count(0)
    cluster.wait_ready()


def test_a_web_server_that_is_gone_is_told_by_the_open_page_until_it_is_back(window: Window, web: WebServer) -> None:
    web.stop()
    expect(window.page.locator("#stale")).to_contain_text("has not been refreshed since")
    window.shoot("web-gone")
    web.start()
    expect(window.page.locator("#stale")).to_be_hidden()


def test_who_was_logged_out_meanwhile_is_led_to_the_login(window: Window) -> None:
    window.context.clear_cookies()
    window.page.wait_for_url("**/admin/login/**")


def test_a_silent_cluster_is_told_with_its_last_picture(window: Window, cluster: LocalCluster) -> None:
    for node in cluster.numbers:
        cluster.kill(node)
    expect(window.page.get_by_text("The cluster has not answered since")).to_be_visible()
    expect(window.page.get_by_text("Below is what was seen last.")).to_be_visible()
    assert window.page.locator(".tx-groups tbody tr").count() == 10
    window.shoot("silent")
    for node in cluster.numbers:
        cluster.start(node)
    expect(window.page.get_by_text("The cluster has not answered since")).to_have_count(0)
    cluster.wait_ready()
