"""`manage.py selfcheck` on a cluster of real processes as a user meets it, and its verdicts in the admin."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, expect

from monitoring.selfcheck.run import Finding, Wishes, run
from monitoring.verdicts import FAIL
from tests.e2e.browser import Window
from tests.e2e.cluster import ROOT, LocalCluster, served
from tests.e2e.web import RestClient, WebServer
from tests.sim.planted.hunt import PATCHES, copy_with
from txstore.home import Home, Shape

RUNS = 8

PLANT = """
from uuid import uuid4
from django.utils import timezone
from monitoring.models import Flip, SelfCheck, Standing
from monitoring.selfcheck.checker import check
from monitoring.selfcheck.run import Finding
from monitoring.selfcheck.verdict import keep
from tests.monitoring.selfcheck.histories import history
SelfCheck.objects.filter(run__startswith="planted").delete()
for model in (Flip, Standing):
    model.objects.all().delete()
anomaly, = check(history("l x [], a y 1", "l y [], a x 1", "l x [1], l y [1]")).anomalies
good = Finding("list-append", "ok", "no anomaly", 40)
bad = Finding("list-append", "fail", "G2-item", 3, 0, 0, [str(anomaly)])
unmade = Finding("bank", "unknown", "was not carried out: no node answers: 127.0.0.1:7101: refused")
for findings in [good], [bad], [good, unmade], [bad]:
    keep(findings, timezone.now(), 10000, f"planted {uuid4()}")
print(SelfCheck.objects.filter(state="fail").first().pk)
"""


@pytest.fixture(scope="module")
def web(local_cluster: LocalCluster) -> Iterator[WebServer]:
    server = WebServer(local_cluster)
    server.start()
    yield server
    server.stop()


def refused(home: Path, *options: str) -> tuple[int, str]:
    """(exit status, the words) of a run that must not work."""
    command = [sys.executable, str(ROOT / "manage.py"), "selfcheck", *options]
    environment = {"TXSTORE_HOME": str(home), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


class Said(NamedTuple):
    """What a run printed, and how the watch then says that self-checks are."""

    text: str
    health: dict[str, Any]


@pytest.fixture(scope="module")
def said(web: WebServer) -> Said:
    """By a run whose verdicts are there from then on."""
    text = web.manage("selfcheck", "--seconds", "3", "--clients", "2")
    status, _, health = RestClient(web.address, web.token).send("GET", "/api/v1/health")
    assert status == 200
    return Said(text, next(each for each in health["checks"] if each["check"] == "self_check"))


def test_it_says_of_each_workload_what_it_found_and_leaves_nothing(
    said: Said, web: WebServer, local_cluster: LocalCluster
) -> None:
    assert said.text.count("no anomaly") == 7
    assert said.text.rstrip().endswith("What clients were told is strictly serializable.")
    with local_cluster.client() as client:
        assert [table.name for table in client.tables() if table.name.startswith("selfcheck")] == []
    assert (said.health["state"], said.health["enabled"], len(said.health["subjects"])) == ("ok", False, 7)
    verdicts = json.loads(
        web.manage("shell", "-v", "0", "-c", "import json; from monitoring.models import SelfCheck;"
                   "print(json.dumps(list(SelfCheck.objects.exclude(run__startswith='planted')"
                   ".values_list('workload', 'state', 'happened'))))")
    )  # fmt: skip
    assert len(verdicts) == 7
    assert all(state == "ok" and happened > 0 for _, state, happened in verdicts)


def test_what_makes_no_sense_is_refused_before_anything_is_done(local_cluster: LocalCluster) -> None:
    for options, words in (
        (["--workloads", "elle"], "no workload is called 'elle'"),
        (["--seconds", "0"], "seconds must be above 0"),
        (["--clients", "99"], "from 1 to 32"),
    ):
        status, said = refused(local_cluster.directory, *options)
        assert status == 2
        assert words in said
        assert "Nothing was done" in said


def test_a_cluster_that_does_not_answer_is_told(tmp_path: Path) -> None:
    status, said = refused(tmp_path / "nowhere")
    assert (status, "No cluster answers" in said) == (2, True)
    home = Home(tmp_path / "home")
    home.create(Shape(1, 1, 1), {1: "127.0.0.1:1"})
    status, said = refused(home.path)
    assert (status, "No cluster answers" in said) == (2, True)


@pytest.mark.usefixtures("said")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_the_admin_shows_the_verdicts_and_the_cycle(web: WebServer, browser: Browser, width: int, theme: str) -> None:
    planted = web.manage("shell", "-v", "0", "-c", PLANT).strip()
    window = Window(browser, web.address, width, theme)
    window.log_in(web.password)
    window.open("/admin/monitoring/selfcheck/")
    expect(window.page.locator("#result_list").get_by_text("G2-item").first).to_be_visible()
    expect(window.page.locator("#result_list").get_by_text("no anomaly").first).to_be_visible()
    window.shoot("selfchecks")
    assert window.overflow() == 0
    window.open(f"/admin/monitoring/selfcheck/{planted}/change/")
    expect(window.page.get_by_text("T0 read [] of x, and T1 then appended 1")).to_be_visible()
    expect(window.page.locator("h1").get_by_text("List-append fail")).to_be_visible()
    window.shoot("selfcheck")
    assert (window.overflow(), window.cut_words()) == (0, [])
    for name, words in (("flip", "the anomaly that was found before stays"), ("standing", "nothing was judged")):
        window.open(f"/admin/monitoring/{name}/?check_name=self_check")
        expect(window.page.locator("#result_list").get_by_text(words).first).to_be_visible()
        assert window.cut_words() == []
        window.shoot(f"selfcheck-{name}s")
        assert window.overflow() == 0
    assert (window.errors, window.foreign) == ([], [])
    window.context.close()


@pytest.mark.parametrize(
    ("bug", "workloads"),
    [
        ("prefix-under-an-intention", ("predicate",)),
        ("snapshot-does-not-wait-for-those-in-flight", ("bank", "register")),
    ],
)
def test_a_bug_that_is_planted_into_real_nodes_is_found(tmp_path: Path, bug: str, workloads: tuple[str, ...]) -> None:
    (patch,) = [path for path in PATCHES if path.stem == bug]
    code = copy_with(patch, tmp_path / "code")
    with served(tmp_path / "home", code=code) as cluster, cluster.client() as client:
        found: list[Finding] = []
        for _ in range(RUNS):
            found = [each for each in run(client, Wishes(4.0, 4, workloads)) if each.state == FAIL]
            if found:
                break
    assert found, f"{bug} was not found in {RUNS} runs"
    assert all(each.anomalies for each in found)
