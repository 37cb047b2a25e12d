"""What stays in doubt on real processes, with a majority of its home stopped: the page has it, and it is resolved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import expect

from nodes.client import Cluster
from nodes.errors import OutcomeUnknown, StoreError
from nodes.requests import ABORTED, COMMITTED, IN_DOUBT, Transaction
from nodes.runtime.router import place
from nodes.sql.keys import shard_of_slot, shard_slot
from tests.e2e import browser as browsers
from tests.e2e.browser import Window
from tests.e2e.cluster import LocalCluster, served
from tests.e2e.test_supervisor import eventually
from tests.e2e.web import WebServer

NODES, SHARDS, REPLICAS = 5, 5, 3
PLACES = place(NODES, SHARDS, REPLICAS)
STOPPED = PLACES["c1"][:2]  # of three: without them nothing is decided
WIDTHS = (1440, 390)
PAGE = "/admin/in-doubt/"
ADD = "UPDATE held SET balance = balance + $1 WHERE id = $2"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with served(tmp_path / "home", nodes=NODES, shards=SHARDS, replicas=REPLICAS, restart_s=None) as started:
        yield started


def living_shards() -> list[int]:
    """Two that keep a majority while the home has none."""
    alive = [shard for shard in range(1, SHARDS + 1) if len(set(PLACES[f"s{shard}"]) & set(STOPPED)) <= 1]
    return alive[:2]


def row_of(shard: int) -> int:
    return next(id for id in range(1, 1_000) if shard_of_slot(shard_slot(["BIGINT"], [id]), SHARDS) == shard)


def in_doubt(client: Cluster) -> Transaction | None:
    """The one that is in doubt at both shards, for which somebody waits."""
    try:
        found = client.transactions(IN_DOUBT).transactions
    except StoreError:
        return None
    return next((each for each in found if len(each.doubts) == 2 and any(one.waiting for one in each.doubts)), None)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_a_stopped_majority_leaves_in_doubt_is_on_the_page_and_is_resolved(
    cluster: LocalCluster, theme: str
) -> None:
    rows = [row_of(shard) for shard in living_shards()]
    gateway = next(node for node in cluster.numbers if node not in STOPPED and node not in PLACES["c1"])
    web = WebServer(cluster)
    web.start()
    try:
        with cluster.client(gateway) as client, browsers.chromium() as browser, ThreadPoolExecutor(2) as threads:
            client.execute("CREATE TABLE held (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)")
            client.execute_many([("INSERT INTO held (id, balance) VALUES ($1, 100)", [row]) for row in rows])
            window = Window(browser, web.address, 1440, theme)
            window.log_in(web.password)
            for node in STOPPED:
                cluster.pause(node)
            steps = [(ADD, [1, row]) for row in rows]
            doubtful = threads.submit(client.execute_many, steps, timeout=5.0)
            eventually(
                lambda: [each for each in client.transactions(IN_DOUBT).transactions if len(each.doubts) == 2], 30
            )
            waiting = threads.submit(client.execute, ADD, [10, rows[0]], timeout=59.0)
            found = eventually(lambda: in_doubt(client), 30)
            _look(window, found)
            _resolve(window, found, "c1 did not say what it decided", "unknown")
            with pytest.raises(OutcomeUnknown):
                doubtful.result()
            for node in STOPPED:
                cluster.resume(node)
            _resolve(window, found, f"{found.id} (was committed|is aborted)", "happened")
            assert waiting.result().row_count == 1
            eventually(lambda: not client.transactions(IN_DOUBT).transactions, 30)
            window.open(PAGE)
            expect(window.page.get_by_text("Nothing is in doubt")).to_be_visible()
            fate = client.fate(found.id)  # its gateway's question may have come before ours
            assert fate.state in (COMMITTED, ABORTED)
            one = int(fate.state == COMMITTED)
            balances = [client.query("SELECT balance FROM held WHERE id = $1", [row])[0] for row in rows]
            assert balances == [[110 + one], [100 + one]]
            assert (window.errors, window.foreign) == ([], [])
            window.context.close()
    finally:
        web.stop()


def _look(window: Window, found: Transaction) -> None:
    page = window.page
    window.open(PAGE)
    card = page.locator("section.tx-card", has=page.get_by_text(found.id))
    expect(card).to_contain_text("none is known: c1 has not decided")
    expect(card).to_contain_text(", ".join(found.shards))
    for doubt in found.doubts:
        expect(card).to_contain_text(f"{doubt.shard} led by n{doubt.node}")
    expect(card).to_contain_text("X on 1 key of held")
    (waits,) = {id for doubt in found.doubts for id in doubt.waiting}
    expect(card.locator(f"a[title='{waits}']")).to_be_visible()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert window.overflow() == 0
        assert (window.empty_boxes(), window.torn_facts()) == ([], [])
        window.shoot(f"in-doubt-at-{width}")
    window.open(f"/admin/transactions/{found.id}/")
    expect(page.get_by_role("link", name="what is in doubt")).to_be_visible()
    expect(page.locator(".tx-steps li", has_text="times, until").first).to_contain_text("asks")
    assert page.locator(".tx-steps li").count() < 60
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert window.overflow() == 0
        assert (window.empty_boxes(), window.torn_facts()) == ([], [])
        window.shoot(f"in-doubt-one-at-{width}")
    page.set_viewport_size({"width": 1440, "height": 900})


def _resolve(window: Window, found: Transaction, words: str, outcome: str) -> None:
    page = window.page
    window.open(PAGE)
    page.get_by_role("link", name=f"Resolve {found.id}").click()
    expect(page.get_by_text("c1 decides abort, through its log")).to_be_visible()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert window.overflow() == 0
        window.shoot(f"resolve-at-{width}")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_role("button", name="Resolve it").click()
    expect(page.get_by_text(re.compile(words))).to_be_visible()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert window.overflow() == 0
        window.shoot(f"resolve-{outcome}-at-{width}")
    page.set_viewport_size({"width": 1440, "height": 900})
    window.open("/admin/txstore/operation/")
    expect(page.locator("tr", has_text=f"resolve {found.id}").first).to_contain_text(outcome)
